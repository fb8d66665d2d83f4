package queues

import (
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// Status asks the broker about a queue, which must exist.
func Status(ch *amqp.Channel, queue string) (broker.QueueStatus, error) {
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		return broker.QueueStatus{}, fmt.Errorf("ask for the depth of %q: %w", queue, err)
	}
	return broker.QueueStatus{Name: q.Name, Messages: q.Messages, Consumers: q.Consumers}, nil
}
