#!/usr/bin/env bash
# PostgreSQL gives transaction ids a second time after a crash that followed rolled-back transactions, so that the xmin of a
# snapshot falls. Whoever follows a table by the transaction id in its rows, and goes on from the last pg_snapshot_xmin(), as
# many recipes for outbox tables do, never reads what is committed under an id that was given again.
#
# Debian 12's postgresql-15 15.20-0+deb12u1; default settings but wal_writer_delay = 10s, so that the crash need not come
# within 0.2 s of the rollbacks. Seen:
#   1. a reader has read all below the horizon 756, and goes on from there
#   2. crash and recovery: the next transaction has the id 726
#   3. a row is committed under 726; the reader finds 0 rows from 756 on
#   4. the crash of one backend, which PostgreSQL recovers from by itself, leaves pg_postmaster_start_time() as it was
# The ids are kept in memory; what puts them on the disk is WAL, which a rollback writes and does not wait for. PostgreSQL
# promises no more, and the documentation of pg_current_xact_id() (9.27) does not say so.
#
# Exits 0 if that is so, 1 if not, 2 if it can't be tried. Needs Debian 12, apt-get, dpkg; as root it runs as the user nobody.
set -euo pipefail

version=15.20-0+deb12u1
packages=(postgresql-15="$version" postgresql-client-15="$version" libpq5 libicu72 libxml2 libldap-2.5-0 libsasl2-2 libreadline8 libedit2)

home=$(mktemp -d)
as=()
[ "$(id -u)" -ne 0 ] || as=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
bin=$home/root/usr/lib/postgresql/15/bin
data=$home/data
ctl() { "${as[@]}" "$bin/pg_ctl" -D "$data" -s -w "$@" >>"$home/ctl.log" 2>&1; }
finish() {
  [ ! -e "$data/postmaster.pid" ] || ctl stop -m immediate || true
  rm -rf "$home"
}
trap finish EXIT
fail() { echo "$1" >&2; exit "$2"; }

mkdir "$home/debs" "$home/root" "$home/run"
(cd "$home/debs" && apt-get download -qq "${packages[@]}") || fail "the packages can't be had" 2
for deb in "$home"/debs/*.deb; do dpkg -x "$deb" "$home/root"; done
lib=$(dirname "$(find "$home/root" -name 'libpq.so.5' | head -n 1)")
export LD_LIBRARY_PATH=$lib LC_ALL=C
chmod 755 "$home"
[ "$(id -u)" -ne 0 ] || chown nobody "$home" "$home/run"

"${as[@]}" "$bin/initdb" -D "$data" -A trust -U test --no-sync -L "$home/root/usr/share/postgresql/15" >"$home/initdb.log" || fail "initdb failed" 2
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
options="-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$home/run -c wal_writer_delay=10s"
sql() { "$bin/psql" -XqAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U test -d postgres "$@"; }
ctl start -o "$options" || fail "$(cat "$home/ctl.log")" 2
"$bin/postgres" --version

sql -c "CREATE TABLE trail (n int, tx bigint DEFAULT pg_current_xact_id()::text::bigint)" -c "INSERT INTO trail VALUES (1)"
horizon=0
for _ in 1 2 3; do # the WAL writer may come in between
  { for _ in {1..30}; do echo 'BEGIN; INSERT INTO trail VALUES (0); ROLLBACK;'; done; } | sql
  horizon=$(sql -c "SELECT pg_snapshot_xmin(pg_current_snapshot())")
  ctl stop -m immediate # kills all processes at once
  ctl start -o "$options"
  next=$(sql -c "INSERT INTO trail VALUES (2) RETURNING tx")
  [ "$next" -ge "$horizon" ] || break
done
found=$(sql -c "SELECT count(*) FROM trail WHERE n = 2 AND tx >= $horizon")
echo "1. a reader has read all below the horizon $horizon, and goes on from there"
echo "2. crash and recovery: the next transaction has the id $next"
echo "3. a row is committed under $next; the reader finds $found rows from $horizon on"
[ "$next" -lt "$horizon" ] || fail "transaction ids were not given again" 1

began=$(sql -c "SELECT pg_postmaster_start_time()")
pid=$(sql -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")
"${as[@]}" kill -KILL "$pid"
for _ in {1..300}; do
  now=$(sql -c "SELECT pg_postmaster_start_time() FROM pg_stat_activity WHERE backend_type = 'walwriter' AND pid <> $pid" 2>/dev/null || true)
  [ -z "$now" ] || break
  sleep 0.1
done
[ "$now" = "$began" ] || fail "after a backend's crash pg_postmaster_start_time() is '$now', it was '$began'" 1
echo "4. the crash of one backend, which PostgreSQL recovers from by itself, leaves pg_postmaster_start_time() as it was"
