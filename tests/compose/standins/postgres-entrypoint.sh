#!/bin/sh
# The part of the official entrypoint that docker-compose.yml relies on: an empty data folder becomes a cluster with the
# user, password and database asked for, reachable by socket alone until it is ready.
set -eu

if [ "$1" = postgres ] && [ "$(id -u)" = 0 ]; then
    chown postgres:postgres "$PGDATA"
    chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups sh "$0" "$@"
fi

if [ "$1" = postgres ]; then
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        password="$(cat "${POSTGRES_PASSWORD_FILE:?a new database needs a password}")"
        user="${POSTGRES_USER:-postgres}"
        password_file="$(mktemp)"
        printf '%s\n' "$password" >"$password_file"
        initdb --username="$user" --pwfile="$password_file" --auth-local=trust --auth-host=scram-sha-256
        rm -f "$password_file"
        echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
        pg_ctl --wait start --options="-c listen_addresses=''"
        createdb --username="$user" --maintenance-db=postgres "${POSTGRES_DB:-$user}"
        pg_ctl --wait stop --mode=fast
    fi
    shift
    exec postgres -c listen_addresses='*' "$@"
fi
exec "$@"
