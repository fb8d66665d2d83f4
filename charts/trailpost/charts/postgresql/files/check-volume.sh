#!/usr/bin/env bash
# Runs before the server. The official image has a data directory for each major version,
# and makes a new, empty database where its own is missing: with another image the trail
# would seem to be gone. So a volume with another version's data is refused.
# And initdb, which is given the password on a new volume, takes its first line alone,
# without a carriage return at its end; the services take all lines. So one that has
# several is refused.
# usage: check-volume.sh [SECRETS VOLUME]     folders, other than the pod's
set -euo pipefail

secrets=${1:-/etc/postgresql-secrets}
volume=${2:-/var/lib/postgresql}

[ ! -s "$PGDATA/PG_VERSION" ] || exit 0
for other in "$volume"/PG_VERSION "$volume"/*/PG_VERSION "$volume"/*/*/PG_VERSION; do
  [ -s "$other" ] || continue
  cat >&2 <<END
This is PostgreSQL ${PG_MAJOR:-?}, and the volume holds data of PostgreSQL $(<"$other")
in ${other%/PG_VERSION}. Go back to the image of that version, dump,
and restore the dump on a new volume; or move the data to $PGDATA with pg_upgrade.
END
  exit 1
done

password=$(<"$secrets/postgres-password")
password=${password#$'\xef\xbb\xbf'}
while [[ $password == *[$'\r\n'] ]]; do password=${password%?}; done
case $password in
  '') echo 'the key postgres-password of the Secret is empty' >&2; exit 1 ;;
  *$'\n'*)
    echo 'the key postgres-password of the Secret has several lines, of which PostgreSQL would take the first: give one' >&2
    exit 1
    ;;
esac
