// Package policy looks at the policies that the broker's owner has set on our queues.
//
// A policy can have RabbitMQ drop what it has confirmed: the oldest messages of a queue that is
// full (drop-head), those that waited too long (message-ttl), those that came back too often
// (delivery-limit), or a whole queue (expires). No confirm and no error says so. So the effective
// policies of the queue and its dead-letter queue, operator policies included, are read from the
// management API ([Watcher]), and [Judge] says what they would do. A producer asks [Watcher.Events]
// before it publishes, a consumer [Watcher.Letters] before it makes a dead letter.
package policy
