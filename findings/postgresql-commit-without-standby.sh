#!/usr/bin/env bash
# A row that can be seen, and a COMMIT that succeeds, say nothing of PostgreSQL's synchronous standbys, though
# synchronous_standby_names is set: who commits, loses the answer, finds the row at a retry and takes that for done, as every
# idempotent writer does, has a row that the next failover may take away.
#
# Debian 12's postgresql-15 15.20-0+deb12u1, synchronous_standby_names = 'nobody', a standby that isn't there. Seen:
#   1. INSERT waits; pg_cancel_backend() ends the wait, and the INSERT succeeds: exit status 0, and a warning with SQLSTATE
#      01000, "canceling wait for synchronous replication due to user request"
#   2. another transaction finds the row, and its COMMIT returns at once
#   3. so it does with a transaction id of its own (pg_current_xact_id())
#   4. after pg_logical_emit_message(true, 'retry', '') COMMIT waits, and with it for the row
#   5. statement_timeout does not end the wait
# The documentation says (27.2.8) that read-only transactions do not wait, and nothing of what they have read.
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
sql() { "$bin/psql" -XqAt -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -h 127.0.0.1 -p "$port" -U test -d postgres "$@"; }
ctl start -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$home/run" || fail "$(cat "$home/ctl.log")" 2
"$bin/postgres" --version
sql -c "CREATE TABLE t (n int)"
sql -c "ALTER SYSTEM SET synchronous_standby_names = 'nobody'" -c "SELECT pg_reload_conf()" >"$home/reload"

# waiting says whether a session is in a commit that waits for the standby, and has been for a while.
waiting() { [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query_start < clock_timestamp() - interval '3 s'")" -gt 0 ]; }
# ends runs statements in one session and says within how long they are through: "at once", or "never", which is 4 s and more.
# It cancels what waits, and leaves what the session said in the file said.
ends() {
  sql "$@" >"$home/said" 2>&1 &
  local session=$!
  while kill -0 $session 2>"$home/gone"; do
    if waiting; then
      sql -c "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'" >"$home/cancelled"
      wait $session && echo never || echo "never, and failed"
      return
    fi
    sleep 0.2
  done
  wait $session && echo "at once" || echo failed
}
# The checkpointer tells the others of the setting.
for _ in {1..50}; do [ "$(ends -c "INSERT INTO t VALUES (0)")" = "at once" ] || break; done

said=$(ends -c "INSERT INTO t VALUES (1)")
warning=$(grep -c "WARNING:  01000: canceling wait for synchronous replication" "$home/said" || true)
echo "1. INSERT, cancelled, ends: $said; warnings: $warning"
[ "$said $warning" = "never 1" ] || fail "that was otherwise" 1
said=$(ends -c "BEGIN" -c "SELECT n FROM t WHERE n = 1" -c "COMMIT")
echo "2. COMMIT of who found the row, $(head -n 1 "$home/said"), ends: $said"
[ "$said $(cat "$home/said")" = "at once 1" ] || fail "that was otherwise" 1
said=$(ends -c "BEGIN" -c "SELECT n FROM t WHERE n = 1" -c "SELECT pg_current_xact_id() > '0'" -c "COMMIT")
echo "3. with a transaction id: $said"
[ "$said" = "at once" ] || fail "that was otherwise" 1
said=$(ends -c "BEGIN" -c "SELECT n FROM t WHERE n = 1" -c "SELECT pg_logical_emit_message(true, 'retry', '') > '0/0'" -c "COMMIT")
echo "4. with a message in the log: $said"
[ "$said" = never ] || fail "that was otherwise" 1
said=$(ends -c "SET statement_timeout = '500ms'" -c "INSERT INTO t VALUES (2)")
echo "5. INSERT with a statement_timeout of 0.5 s: $said"
[ "$said" = never ] || fail "that was otherwise" 1
