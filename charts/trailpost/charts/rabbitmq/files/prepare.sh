#!/usr/bin/env bash
# Runs before a node starts: puts the secrets where the server looks for them, and tells
# the first node whom to join if its volume is lost.
# usage: prepare.sh [SECRETS CONFIG DATA RUN]     folders, other than the pod's
set -euo pipefail
umask 077

secrets=${1:-/etc/rabbitmq-secrets}
config=${2:-/etc/rabbitmq-config}
data=${3:-/var/lib/rabbitmq}
run=${4:-/run/rabbitmq}

# unhex HEX: its bytes
unhex() {
  local escaped
  # shellcheck disable=SC2001 # bash has no & in ${1//..}
  escaped=$(sed 's/../\\x&/g' <<<"$1")
  printf '%b' "$escaped"
}

# hash PASSWORD: as rabbit_password_hashing_sha256 stores it: a salt of four bytes, then
# the SHA-256 of salt and password, in base64
hash() {
  local salt digest
  salt=$(head -c 4 /dev/urandom | od -An -tx1 | tr -d ' \n')
  digest=$({ unhex "$salt" && printf '%s' "$1"; } | sha256sum | cut -d ' ' -f 1)
  unhex "$salt$digest" | base64 | tr -d '\n'
}

# value FILE: what a key of a Secret holds, as the services read it: without a byte-order mark and line breaks at its end
value() {
  local content
  content=$(<"$1")
  content=${content#$'\xef\xbb\xbf'}
  while [[ $content == *[$'\r\n'] ]]; do content=${content%?}; done
  [ -n "$content" ] || { echo "the key ${1##*/} of the Secret is empty" >&2; return 1; }
  printf '%s' "$content"
}

# The server takes a cookie that its owner alone can read, and a Secret's files belong to
# root. Written under another name first: an older one may be read-only.
cookie=$(value "$secrets/erlang-cookie")
printf '%s' "$cookie" >"$data/.erlang.cookie.new"
mv -f "$data/.erlang.cookie.new" "$data/.erlang.cookie"

definitions=$(<"$config/definitions.json")
for key in admin-password producer-password consumer-password; do
  password=$(value "$secrets/$key")
  definitions=${definitions//"@$key@"/"$(hash "$password")"}
done
printf '%s\n' "$definitions" >"$run/definitions.json"

# The first node makes the cluster when its volume is empty. That is right once: were the
# volume lost, it would take events in a second cluster, of which the others know nothing.
# A peer that serves clients has a cluster already, since it does so after it has joined one.
seed=
if [[ $POD_NAME == *-0 && ! -e $data/mnesia/$RABBITMQ_NODENAME ]]; then
  for ((i = 1; i < REPLICAS; i++)); do
    peer=${POD_NAME%-0}-$i.${RABBITMQ_NODENAME#*@"$POD_NAME".}
    if timeout 3 bash -c "exec 3<>/dev/tcp/$peer/$AMQP_PORT" 2>/dev/null; then
      echo "the volume is empty, and $peer serves clients: joining it"
      seed="cluster_formation.k8s.seed_node = ${RABBITMQ_NODENAME%%@*}@$peer"
      break
    fi
  done
fi
printf '%s\n' "$seed" >"$run/rabbitmq.conf"
