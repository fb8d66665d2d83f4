package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Queue is a queue of RabbitMQ, and the broker that it is on.
type Queue struct {
	Name string
	Host string
	Port int
}

// Attributes returns the attributes of every span about the queue, and more. operation is the
// operation's name, kind its type in the conventions' words.
//
// With the default exchange the destination's name is the routing key alone, and for a consumer it
// is not repeated as the queue (RabbitMQ's conventions, 1.30).
func (q Queue) Attributes(operation string, kind attribute.KeyValue, more ...attribute.KeyValue) []attribute.KeyValue {
	return append([]attribute.KeyValue{
		semconv.MessagingSystemRabbitMQ,
		semconv.MessagingOperationName(operation),
		kind,
		semconv.MessagingDestinationName(q.Name),
		semconv.MessagingRabbitMQDestinationRoutingKey(q.Name),
		semconv.ServerAddress(q.Host),
		semconv.ServerPort(q.Port),
	}, more...)
}
