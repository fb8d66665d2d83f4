#!/usr/bin/env bash
# Runs before the server. The official image has a data directory for each major version,
# and makes a new, empty database where its own is missing: with another image the trail
# would seem to be gone. So a volume with another version's data is refused.
set -euo pipefail

[ ! -s "$PGDATA/PG_VERSION" ] || exit 0
for other in /var/lib/postgresql/PG_VERSION /var/lib/postgresql/*/PG_VERSION /var/lib/postgresql/*/*/PG_VERSION; do
  [ -s "$other" ] || continue
  cat >&2 <<END
This is PostgreSQL ${PG_MAJOR:-?}, and the volume holds data of PostgreSQL $(<"$other")
in ${other%/PG_VERSION}. Go back to the image of that version, dump,
and restore the dump on a new volume; or move the data to $PGDATA with pg_upgrade.
END
  exit 1
done
