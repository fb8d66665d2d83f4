// Package broker is RabbitMQ, as the rest of Trailpost knows it: which broker and queue, what a
// message is, which errors there are, and what is counted. The work is in its subpackages:
//
//   - publish puts events on the queue, and waits for confirms,
//   - consume takes messages off it,
//   - admin looks at queues, takes dead letters off, and publishes single messages to any queue.
//
// A message carries one event or a group of them. Publishing commits in groups: events of
// concurrent requests that arrive while earlier messages wait for their confirms share the next
// message and are answered by its confirm; a lone event leaves at once, alone.
//
// A connection is a session. The client library's own recovery stays off: its deliveries keep tags
// that start again at 1 after a recovery, and an ack with a stale tag can settle a message that was
// never stored (amqp091-go, since 1.12). When a connection is lost, all that belongs to it is
// dropped: what waited for a confirm is an unknown outcome, what was delivered will be delivered
// again.
package broker
