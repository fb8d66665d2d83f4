#!/usr/bin/env bash
# A policy's overflow is before a quorum queue's own argument x-overflow. RabbitMQ's page on policies says the opposite: a
# setting that is both an argument and a policy's is the argument's ("Operator Policies", "Updating"; of numbers the lower
# holds). So a queue that was declared with x-overflow = reject-publish, for its publishers to hear of a full queue, drops its
# oldest messages under somebody else's policy {"max-length": 5, "overflow": "drop-head"}, and confirms every publish. A
# classic queue does as the page says.
#
# Debian 12's rabbitmq-server 3.10.8-1.1+deb12u1 and python3-pika 1.2.0-1. Seen:
#   quorum:  20 of 20 confirmed, 0 refused, 5 in the queue
#   classic: 5 of 20 confirmed, 15 refused, 5 in the queue
# 4.3.6 (rabbitmq:4.3-management) does the same with the quorum queue.
#
# Exits 0 if that is so, 1 if not, 2 if it can't be tried. Needs Debian 12, apt-get, dpkg, python3.
set -euo pipefail

packages=(rabbitmq-server=3.10.8-1.1+deb12u1 python3-pika=1.2.0-1 erlang-base erlang-asn1 erlang-crypto erlang-eldap erlang-ftp
  erlang-inets erlang-mnesia erlang-os-mon erlang-parsetools erlang-public-key erlang-runtime-tools erlang-snmp erlang-ssl
  erlang-syntax-tools erlang-tftp erlang-tools erlang-xmerl libsctp1)

home=$(mktemp -d)
node='' mapper=''
finish() {
  [ -z "$node" ] || kill -TERM -- "-$node" 2>/dev/null || true
  [ -z "$node" ] || wait "$node" 2>/dev/null || true
  [ -z "$mapper" ] || kill "$mapper" 2>/dev/null || true
  rm -rf "$home" 2>/dev/null || { sleep 2; rm -rf "$home"; }
}
trap finish EXIT
fail() { echo "$1" >&2; exit "$2"; }

mkdir "$home/debs" "$home/root" "$home/data" "$home/log"
(cd "$home/debs" && apt-get download -qq "${packages[@]}") || fail "the packages can't be had" 2
for deb in "$home"/debs/*.deb; do dpkg -x "$deb" "$home/root"; done

# Erlang's start scripts name the folder that it is installed in.
erlang=$home/root/usr/lib/erlang
find "$erlang" -type f -name erl -exec sed -i "s#ROOTDIR=/usr/lib/erlang#ROOTDIR=$erlang#" {} +
rabbit=$(echo "$home"/root/usr/lib/rabbitmq/lib/rabbitmq_server-*)
sed -i "s#^\(SYS_PREFIX\)=.*#\1=$home/root#" "$rabbit/sbin/rabbitmq-defaults"

read -r port dist epmd <<<"$(python3 - <<'P'
import socket
held = [socket.socket() for _ in range(3)]
for s in held: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in held))
P
)"
machine=$(echo "$erlang"/erts-*/bin)
export HOME=$home PATH=$erlang/bin:$machine:$PATH
export RABBITMQ_NODENAME=finding@localhost RABBITMQ_DIST_PORT=$dist ERL_EPMD_PORT=$epmd ERL_EPMD_ADDRESS=127.0.0.1
export RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE=$home/rabbitmq.conf RABBITMQ_ENABLED_PLUGINS_FILE=$home/plugins
export RABBITMQ_MNESIA_BASE=$home/data RABBITMQ_LOG_BASE=$home/log RABBITMQ_PID_FILE=$home/pid LC_ALL=C
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}"
printf 'listeners.tcp.default = 127.0.0.1:%s\nraft.wal_max_size_bytes = 67108864\ndisk_free_limit.absolute = 64MB\n' "$port" >"$home/rabbitmq.conf"
echo '[].' >"$home/plugins"
epmd -port "$epmd" -address 127.0.0.1 >"$home/log/epmd" 2>&1 &
mapper=$!
set -m
"$rabbit/sbin/rabbitmq-server" >"$home/log/out" 2>&1 &
node=$!
set +m
ctl() { "$rabbit/sbin/rabbitmqctl" --quiet "$@"; }
ctl await_startup --timeout 900 >"$home/log/await" 2>&1 || fail "RabbitMQ does not start: $(tail -n 20 "$home/log/out")" 2

ctl set_policy theirs '.*' '{"max-length": 5, "overflow": "drop-head"}' --apply-to queues
result=$(PYTHONPATH=$home/root/usr/lib/python3/dist-packages python3 - "$port" <<'P'
import sys, pika
ok = True
for kind, want in ("quorum", (20, 0)), ("classic", None):
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(sys.argv[1])))
    channel = connection.channel()
    channel.queue_declare(kind, durable=True, arguments={"x-queue-type": kind, "x-overflow": "reject-publish"})
    channel.confirm_delivery()
    confirmed = refused = 0
    for n in range(20):
        try:
            channel.basic_publish("", kind, str(n).encode(), pika.BasicProperties(delivery_mode=2), mandatory=True)
            confirmed += 1
        except pika.exceptions.NackError:
            refused += 1
    left = 0
    while channel.basic_get(kind, auto_ack=True)[0]:
        left += 1
    print(f"{kind}: {confirmed} of 20 confirmed, {refused} refused, {left} in the queue")
    # a classic queue refuses what is beyond, and one that was confirmed is there
    ok = ok and ((confirmed, refused, left) == (20, 0, 5) if kind == "quorum" else refused > 0 and left == confirmed)
    connection.close()
sys.exit(not ok)
P
) && changed=0 || changed=1
echo "RabbitMQ 3.10.8"; echo "$result"
[ "$changed" -eq 0 ] || fail "that is not what 3.10.8 did" 1
