#!/usr/bin/env bash
# Dumps databases onto the volume /backup, or restores one from it.
#   backup.sh            each of $DATABASES, or all, into /backup/DATABASE-TIME.dump
#   RESTORE=FILE backup.sh   the database in /backup/FILE
# The connection is libpq's variables; $KEEP dumps of each database stay.
set -euo pipefail
umask 077

# The server's password has no line breaks at its end (initdb), and a Secret's value may have some.
while [[ ${PGPASSWORD:-} == *[$'\r\n'] ]]; do PGPASSWORD=${PGPASSWORD%?}; done

say() { printf '%s %s\n' "$(date -u +%FT%TZ)" "$*"; }
sql() { psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --dbname=postgres "$@"; }

# await: a minute for a server that restarts, or a network policy that takes a while to know a new pod
await() {
  local i
  for ((i = 0; i < 30; i++)); do
    pg_isready --quiet && return
    sleep 2
  done
  say "$PGHOST does not answer"
  exit 1
}

# check FILE: reads all of an archive, which finds what its table of contents alone would not
check() {
  pg_restore --list "$1" >/dev/null && pg_restore --file=/dev/null "$1"
}

# dump DATABASE: no other file is touched before the new one is complete, read back and on the disk
dump() {
  local name=$1 file partial
  file=/backup/$name-$(date -u +%Y%m%dT%H%M%SZ).dump
  partial=$file.partial
  rm -f "/backup/$name"-*.dump.partial
  # --create: the archive knows the database's owner, rights and settings
  pg_dump --format=custom --create --lock-wait-timeout=60s --file="$partial" --dbname="dbname='${name//\'/\\\'}'"
  check "$partial"
  sync "$partial"
  mv "$partial" "$file"
  sync /backup
  say "dumped $name into ${file##*/}, $(stat -c %s "$file") bytes"
  prune "$name"
}

# prune DATABASE: the names sort by time. A name that begins with another one's is told apart by the time's form.
prune() {
  local file files=()
  for file in "/backup/$1"-[0-9]*T[0-9]*Z.dump; do
    [[ ${file#"/backup/$1-"} =~ ^[0-9]{8}T[0-9]{6}Z\.dump$ ]] && files+=("$file")
  done
  while [ "${#files[@]}" -gt "$KEEP" ]; do
    rm -f "${files[0]}"
    say "removed ${files[0]##*/}"
    files=("${files[@]:1}")
  done
}

back_up() {
  local list=${DATABASES:-} name names
  if [ -z "$list" ]; then
    list=$(sql --command="SELECT datname FROM pg_database
      WHERE datallowconn AND NOT datistemplate AND datname <> 'postgres' ORDER BY datname")
  fi
  [ -n "$list" ] || { say 'there is no database to dump'; exit 1; }
  mapfile -t names <<<"$list"
  for name in "${names[@]}"; do dump "$name"; done
}

# set_aside DATABASE OLD: nothing is deleted; the database that is there gets another name
set_aside() {
  sql --set=name="$1" --set=old="$2" <<'SQL'
ALTER DATABASE :"name" WITH ALLOW_CONNECTIONS false;
SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname = :'name' \g /dev/null
ALTER DATABASE :"name" RENAME TO :"old";
SQL
}

# put_back DATABASE OLD: what a failed restore left goes, what was there before comes back
put_back() {
  sql --set=name="$1" --set=old="$2" <<'SQL'
DROP DATABASE IF EXISTS :"name" WITH (FORCE);
SELECT EXISTS (SELECT FROM pg_database WHERE datname = :'old') AS there \gset
\if :there
ALTER DATABASE :"old" RENAME TO :"name";
ALTER DATABASE :"name" WITH ALLOW_CONNECTIONS true;
\endif
SQL
}

restore() {
  local file=/backup/$1 name old
  [ -f "$file" ] || { say "there is no $1; there are:"; ls -1 /backup; exit 1; }
  check "$file"
  name=$(pg_restore --list "$file" | sed -n 's/^; *dbname: //p')
  old=${name:0:40}_before_$(date -u +%Y%m%dt%H%M%S)
  if [ "$(sql --set=name="$name" <<<"SELECT count(*) FROM pg_database WHERE datname = :'name'")" = 1 ]; then
    set_aside "$name" "$old"
    say "the database $name is now called $old"
  fi
  if ! pg_restore --create --exit-on-error --dbname=postgres "$file"; then
    put_back "$name" "$old"
    say "could not restore $1; $name is as it was"
    exit 1
  fi
  sql --dbname="dbname='${name//\'/\\\'}'" <<'SQL'
ANALYZE;
-- Trailpost's: transaction ids begin anew on another cluster
SELECT to_regprocedure('public.adopt_cluster()') IS NOT NULL AS adopt \gset
\if :adopt
SELECT public.adopt_cluster() \g /dev/null
\endif
SQL
  say "restored $name from $1"
}

await
if [ -n "${RESTORE:-}" ]; then restore "$RESTORE"; else back_up; fi
