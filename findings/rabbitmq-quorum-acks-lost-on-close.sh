#!/usr/bin/env bash
# RabbitMQ 3.10.8 (Debian 12), quorum queue: acks that are under way when their channel closes are applied in part. The
# others' messages come back, redelivered, although the client sent every ack and saw channel.close-ok, and what it asked on the
# channel between the acks and the close was answered.
#
# The client is amqplib 0.10.9: take N messages by basic.get, ack each, close the channel, and count what is ready once the queue
# counts nobody who has one in hand (it counts a consumer for each message that was taken and is not settled).
#
# Seen on 2026-11-29, on two busy cores:
#
#   quorum   40 messages, ack each, close                        6 came back
#   quorum   64 messages, ack each, close                       30 came back
#   quorum  100 messages, ack each, close                       66 came back
#   quorum  180 messages, ack each, close                      147 came back
#   quorum  400 messages, ack each, close                      367 came back
#   quorum  100 messages, one multiple ack, close               67 came back
#   quorum  100 messages, ack each, a queue.declare-ok, close   66 came back
#   quorum  100 messages, ack each, 5 s, close                   0 came back
#   quorum  100 messages by basic.consume, one multiple ack      0 came back
#   classic 100 messages, ack each, close                        0 came back
#
# The numbers depend on timing: the slower the client, the more of its acks were answered before it closed; so a form that loses
# some is tried up to ten times. RabbitMQ 4.3 does the same.
#
# Why, from what is seen: some 33 commands (quorum_commands_soft_limit is 32) go to the queue; those behind wait in the channel
# until the queue has answered, and end with it. Each message of a basic.get is a consumer of its own, so a multiple ack is N
# commands; those of one consumer are one.
#
# So whoever must know that a message is gone looks again after the close. Ends with 0 if RabbitMQ still behaves so.
#
# Needs apt-get (Debian 12's archive, package lists), dpkg-deb, npm, node >= 18 and ports of 127.0.0.1.
set -euo pipefail

dir=$(mktemp -d)
pids=()
finish() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	rm -rf "$dir"
}
trap finish EXIT
cd "$dir"

packages=(rabbitmq-server=3.10.8-1.1+deb12u1)
for part in base asn1 crypto eldap inets mnesia os-mon parsetools public-key runtime-tools ssl syntax-tools tools xmerl; do
	packages+=("erlang-$part=1:25.2.3+dfsg-1+deb12u4")
done
mkdir debs root data
chmod 755 . debs
(cd debs && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "${packages[@]}")
for deb in debs/*.deb; do dpkg-deb -x "$deb" root; done
npm install --silent --no-audit --no-fund --ignore-scripts amqplib@0.10.9 >/dev/null

# Erlang's own scripts know only /usr/lib/erlang.
erlang=$dir/root/usr/lib/erlang
erts=$(echo "$erlang"/erts-*/bin)
mkdir bin
for name in erl erlexec; do
	printf '#!/bin/sh\nexport ROOTDIR=%s BINDIR=%s EMU=beam PROGNAME=erl\nexec %s/erlexec "$@"\n' "$erlang" "$erts" "$erts" >bin/$name
	chmod 755 bin/$name
done

read -r amqp dist mapper < <(node -e '
	const net = require("node:net"), servers = [0, 0, 0].map(() => net.createServer().listen(0, "127.0.0.1"));
	setTimeout(() => { console.log(servers.map((s) => s.address().port).join(" ")); servers.forEach((s) => s.close()); }, 100);')
export PATH="$dir/bin:$PATH" HOME="$dir/data" ERL_EPMD_PORT=$mapper ERL_EPMD_ADDRESS=127.0.0.1
"$erts/epmd" -port "$mapper" -address 127.0.0.1 &
pids+=($!)
export RABBITMQ_NODENAME=finding@localhost RABBITMQ_NODE_IP_ADDRESS=127.0.0.1 RABBITMQ_NODE_PORT=$amqp RABBITMQ_DIST_PORT=$dist \
	RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE="$dir/data/none" RABBITMQ_ENABLED_PLUGINS_FILE="$dir/data/plugins" \
	RABBITMQ_MNESIA_BASE="$dir/data" RABBITMQ_LOG_BASE="$dir/data" RABBITMQ_PID_FILE="$dir/data/pid" \
	RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='-kernel inet_dist_use_interface {127,0,0,1}'
echo '[].' >"$RABBITMQ_ENABLED_PLUGINS_FILE"
"$dir/root/usr/lib/rabbitmq/lib/rabbitmq_server-3.10.8/sbin/rabbitmq-server" >data/out 2>&1 &
pids+=($!)

cat >look.js <<'JS'
const amqp = require('amqplib');
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function connect() {
  for (let tries = 0; ; tries++) {
    try {
      return await amqp.connect(process.argv[2]);
    } catch (err) {
      if (tries > 600) throw err;
      await sleep(200);
    }
  }
}

const forms = {
  'ack each, close': async (ch, all) => all.forEach((m) => ch.ack(m)),
  'one multiple ack, close': async (ch, all) => ch.ack(all.at(-1), true),
  'ack each, a queue.declare-ok, close': async (ch, all, queue) => {
    all.forEach((m) => ch.ack(m));
    await ch.checkQueue(queue);
  },
  'ack each, 5 s, close': async (ch, all) => {
    all.forEach((m) => ch.ack(m));
    await sleep(5000);
  },
};

async function take(ch, queue, n, consume) {
  const all = [];
  if (consume) {
    await ch.prefetch(n);
    await ch.consume(queue, (m) => all.push(m));
    while (all.length < n) await sleep(10);
    return all;
  }
  while (all.length < n) {
    const m = await ch.get(queue);
    if (m) all.push(m);
  }
  return all;
}

let counted = 0;

async function look(type, n, form, consume) {
  const conn = await connect();
  const control = await conn.createConfirmChannel();
  const queue = `${type}-${n}-${Math.random()}`;
  await control.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': type } });
  for (let i = 0; i < n; i++) control.sendToQueue(queue, Buffer.from(String(i)), { persistent: true });
  await control.waitForConfirms();
  const ch = await conn.createChannel();
  const all = await take(ch, queue, n, consume);
  if (type === 'quorum' && !consume) counted = Math.max(counted, (await control.checkQueue(queue)).consumerCount);
  await forms[form](ch, all, queue);
  await ch.close();
  let state = await control.checkQueue(queue);
  for (let still = 0; still < 20; ) { // two seconds without a change
    await sleep(100);
    const next = await control.checkQueue(queue);
    still = next.consumerCount === 0 && next.messageCount === state.messageCount ? still + 1 : 0;
    state = next;
  }
  const how = consume ? `messages by basic.consume, ${form.replace(', close', '')}` : `messages, ${form}`;
  console.log(`${type.padEnd(8)}${String(n).padStart(3)} ${how.padEnd(50)} ${String(state.messageCount).padStart(4)} came back`);
  await conn.close();
  return state.messageCount;
}

// loses tries until some come back.
async function loses(n, form) {
  for (let tries = 0; tries < 10; tries++) if ((await look('quorum', n, form)) > 0) return true;
  return false;
}

(async () => {
  let same = true;
  for (const n of [40, 64, 100, 180, 400]) same = (await loses(n, 'ack each, close')) && same;
  same = (await loses(100, 'one multiple ack, close')) && same;
  same = (await loses(100, 'ack each, a queue.declare-ok, close')) && same;
  same = (await look('quorum', 100, 'ack each, 5 s, close')) === 0 && same;
  same = (await look('quorum', 100, 'one multiple ack, close', true)) === 0 && same;
  same = (await look('classic', 100, 'ack each, close')) === 0 && same;
  console.log(`consumers that a passive declare counts for 400 messages in hand: ${counted}`);
  same = counted === 400 && same;
  console.log(same ? 'as seen before' : 'RabbitMQ behaves otherwise now');
  process.exit(same ? 0 : 1);
})();
JS
node look.js "amqp://guest:guest@127.0.0.1:$amqp" || {
	tail -20 data/out
	exit 1
}
