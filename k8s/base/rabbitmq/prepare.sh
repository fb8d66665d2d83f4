#!/usr/bin/env bash
# Runs before a RabbitMQ node starts: puts the hashes of the passwords into the definitions,
# and tells the first node whom to join if its volume is lost.
# usage: prepare.sh [CONFIG USERS ADMINISTRATOR DATA RUN]     folders, other than the pod's
set -euo pipefail
umask 077

config=${1:-/etc/trailpost/definitions}
users=${2:-/etc/trailpost/users}
administrator=${3:-/etc/trailpost/administrator}
data=${4:-/var/lib/rabbitmq/mnesia}
run=${5:-/run/trailpost}

nodes=3
port=5671

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

definitions=$(<"$config/definitions.json")
# put PLACEHOLDER TEXT: text that JSON takes as it is
put() { definitions=${definitions//"@$1@"/"$2"}; }

# Where there are definitions, RabbitMQ does not make the operator's default user itself.
name=$(value "$administrator/username")
[[ $name =~ ^[A-Za-z0-9_.=+/-]+$ ]] || { echo "the administrator's name is not one that the operator makes up" >&2; exit 1; }
put administrator "$name"
password=$(value "$administrator/password")
put administrator-password "$(hash "$password")"
for key in producer-password consumer-password; do
  password=$(value "$users/$key")
  put "$key" "$(hash "$password")"
done
printf '%s\n' "$definitions" >"$run/definitions.json"

# The first node makes the cluster when its volume is empty. That is right once: were the
# volume lost, it would take events in a second cluster, of which the others know nothing.
# A peer that serves clients has a cluster already, since it does so after it has joined one.
seed=
domain=${POD_NAME%-server-*}-nodes.$POD_NAMESPACE
if [[ $POD_NAME == *-0 && ! -e $data/rabbit@$POD_NAME.$domain ]]; then
  for ((i = 1; i < nodes; i++)); do
    peer=${POD_NAME%-0}-$i.$domain
    if timeout 3 bash -c "exec 3<>/dev/tcp/$peer/$port" 2>/dev/null; then
      echo "the volume is empty, and $peer serves clients: joining it"
      seed="cluster_formation.k8s.seed_node = rabbit@$peer"
      break
    fi
  done
fi
printf '%s\n' "$seed" >"$run/seed.conf"
