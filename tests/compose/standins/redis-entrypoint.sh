#!/bin/sh
# Leaves root before the server starts, as the official entrypoint does; any other command runs as it is.
set -eu
if [ "$1" = redis-server ]; then
    shift
    exec setpriv --reuid=redis --regid=redis --clear-groups redis-server "$@" --protected-mode no
fi
exec "$@"
