// Package broker is RabbitMQ: the queues, the publisher that puts events on
// them, and the sessions that take messages off.
//
// A message carries one event or a group of them. The [Publisher] commits in
// groups: events of concurrent requests that arrive while earlier messages
// wait for their confirms share the next message and are answered by its
// confirm; a lone event leaves at once, alone.
//
// A connection is a session. The client library's own recovery stays off: its
// deliveries keep tags that start again at 1 after a recovery, and an ack with
// a stale tag can settle a message that was never stored (amqp091-go, since
// 1.12). When a connection is lost, all that belongs to it is dropped: what waited
// for a confirm is an unknown outcome, what was delivered will be delivered again.
package broker
