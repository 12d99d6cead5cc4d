#!/bin/sh
# Writes random passwords for docker-compose.yml into ./secrets, and the folder's name into ./.env. Files that exist stay.
#
# Compose mounts the files with their modes, and each container runs as a user of its own: so the files are readable,
# and the folder is closed to other users of this machine.
set -eu
cd "$(dirname "$0")/.."

folder=secrets
mkdir -p "$folder"
chmod 700 "$folder"

random() { # letters and digits; 2 · $1 of them, from $1 random bytes
    od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'
}

write() { # the file $1 from standard input, unless it has content
    if [ ! -s "$folder/$1" ]; then
        cat > "$folder/$1.new"
        chmod 444 "$folder/$1.new"
        mv -f "$folder/$1.new" "$folder/$1"
        echo "written: $folder/$1"
    fi
}

for name in postgres_password redis_password grafana_password; do
    random 32 | write "$name"
done

# A key as the Standard Webhooks specification writes it.
printf 'whsec_%s\n' "$(head -c 32 /dev/urandom | base64 | tr -d '\n')" | write webhook_secret

# One pair of keys in two forms: for the S3 server of the profile `s3`, and for its clients.
if [ ! -s "$folder/s3_credentials" ]; then
    key="$(random 10)"
    secret="$(random 20)"
    rm -f "$folder/s3_server.json"
    printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$key" "$secret" | write s3_credentials
    printf '{"identities": [{"name": "mimeo", "credentials": [{"accessKey": "%s", "secretKey": "%s"}], "actions": ["Admin"]}]}\n' \
        "$key" "$secret" | write s3_server.json
fi

touch .env
if ! grep -q '^MIMEO_SECRETS_DIR=' .env; then
    if [ -s .env ] && [ -n "$(tail -c 1 .env)" ]; then echo >> .env; fi
    echo "MIMEO_SECRETS_DIR=./$folder" >> .env
    echo "written: MIMEO_SECRETS_DIR in .env"
fi
