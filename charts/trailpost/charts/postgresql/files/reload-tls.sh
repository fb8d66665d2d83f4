#!/usr/bin/env bash
# Runs beside the server: has it read its certificate anew when that was renewed. It would
# not look by itself. Connections that are open stay.
set -euo pipefail
trap 'exit 0' TERM INT

taken=
while :; do
  now=$(sha256sum /etc/postgresql-tls/tls.crt /etc/postgresql-tls/tls.key)
  if [ "$now" != "$taken" ] &&
    psql --no-psqlrc --quiet --username=postgres --dbname=postgres --command='SELECT pg_reload_conf()' >/dev/null; then
    taken=$now
    echo "$(date -u +%FT%TZ) the server reads its certificate"
  fi
  sleep 10 & # so that a signal is not kept waiting
  wait $!
done
