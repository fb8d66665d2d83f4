#!/usr/bin/env bash
# pg_basebackup under a synchronous standby's application_name is that standby for as long as it runs: a COMMIT that waits,
# since there is no standby, is answered without a warning, though the only copy is what pg_basebackup is writing, and may
# be thrown away. People name it so since pg_basebackup -R writes the name into primary_conninfo, from
# --dbname="... application_name=s1", before the standby's first start.
#
# Debian 12's postgresql-15 15.20-0+deb12u1, synchronous_standby_names = 's1', and no standby at all. Seen:
#   1. INSERT waits
#   2. pg_basebackup under another name changes nothing: it waits
#   3. pg_basebackup under the name s1 ends, and the INSERT with it: exit status 0, no warning; the log says 'standby "s1" is
#      now a synchronous standby'. The backup is removed, and nothing but the primary has the row
# It has a temporary replication slot, and who has a slot reports what it has flushed. The documentation of
# synchronous_standby_names says of clients that are no standbys: "consult their documentation"; pg_receivewal's speaks of it.
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
sql() { "$bin/psql" -XqAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U test -d postgres "$@"; }
ctl start -l "$home/run/server.log" -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$home/run" || fail "$(cat "$home/ctl.log")" 2
"$bin/postgres" --version
sql -c "CREATE TABLE t (n int)"
sql -c "ALTER SYSTEM SET synchronous_standby_names = 's1'" -c "SELECT pg_reload_conf()" >"$home/reload"

waiting() { [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")" -gt 0 ]; }
# The checkpointer tells the others of the setting, so the first rows may not wait yet.
for n in {1..50}; do
  sql -c "INSERT INTO t VALUES ($n)" >"$home/said" 2>&1 &
  session=$!
  for _ in {1..20}; do
    if waiting || ! kill -0 "$session" 2>"$home/gone"; then break; fi
    sleep 0.1
  done
  if waiting; then break; fi
  wait "$session"
done
waiting || fail "1. no INSERT waits" 1
echo "1. INSERT waits"

backup() { "$bin/pg_basebackup" -D "$home/backup" -d "host=127.0.0.1 port=$port user=test application_name=$1" --checkpoint=fast && rm -r "$home/backup"; }
backup other || fail "pg_basebackup failed" 2
sleep 2
waiting || fail "2. INSERT does not wait any more" 1
echo "2. INSERT waits, after pg_basebackup under another name"
backup s1 || fail "pg_basebackup failed" 2
for _ in {1..100}; do
  waiting || break
  sleep 0.1
done
if waiting; then fail "3. INSERT still waits" 1; fi
wait "$session" || fail "3. INSERT failed" 1
[ ! -s "$home/said" ] || fail "3. INSERT said: $(cat "$home/said")" 1
grep -q 'standby "s1" is now a synchronous standby' "$home/run/server.log" || fail "3. the log has no standby" 1
echo "3. INSERT has succeeded, without a word, after pg_basebackup under the name s1; standbys: $(sql -c "SELECT count(*) FROM pg_stat_replication")"
