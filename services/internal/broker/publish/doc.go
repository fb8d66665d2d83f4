// Package publish puts events on the queue by group commit, and says so only when RabbitMQ holds
// them durably.
//
// A [Publisher] is what requests use, and keeps itself connected. Its scheduler decides which
// events share a message, and when it leaves: one type without I/O, spans, metrics or a clock. A
// session is the AMQP side: it writes what the scheduler says, and tells the publisher what the
// broker answers.
package publish
