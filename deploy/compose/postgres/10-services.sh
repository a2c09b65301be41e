#!/bin/sh
# Run once by the postgres image, when its data directory is new: a database and its owner for each service.
set -eu

for service in members points campaigns messaging analytics; do
    name="$(printf %s "$service" | tr '[:lower:]' '[:upper:]')_DATABASE_PASSWORD"
    # Handed over in the environment: an argument could be read in the process list.
    SERVICE_PASSWORD="$(printenv "$name")"
    export SERVICE_PASSWORD
    psql --set ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --dbname postgres --set service="$service" <<'SQL'
\getenv password SERVICE_PASSWORD
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
-- Every role may connect to every database by default; services keep to their own.
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
