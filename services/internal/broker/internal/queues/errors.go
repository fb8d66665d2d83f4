package queues

import (
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// topologyError explains the broker's refusal of a declaration.
func topologyError(queue string, t broker.QueueType, err error) error {
	var refusal *amqp.Error
	if !errors.As(err, &refusal) {
		return fmt.Errorf("declare queue %q: %w", queue, err)
	}
	switch refusal.Code {
	case amqp.PreconditionFailed:
		return fmt.Errorf("%w: %q exists with other properties than RABBITMQ_QUEUE_TYPE=%s declares (%s); "+
			"set RABBITMQ_QUEUE_TYPE to what it is (classic for a queue that the Python service made, existing to declare nothing), "+
			"choose another RABBITMQ_QUEUE_NAME, or drain and delete the queue", broker.ErrTopology, queue, t, refusal.Reason)
	case amqp.NotFound:
		// Not an ErrTopology: whoever declares it may only be late.
		return fmt.Errorf("queue %q does not exist yet, and RABBITMQ_QUEUE_TYPE=%s declares nothing (%s)", queue, t, refusal.Reason)
	case amqp.AccessRefused:
		return fmt.Errorf("%w: the user may not declare %q; grant it the configure permission or set RABBITMQ_QUEUE_TYPE=existing (%s)",
			broker.ErrTopology, queue, refusal.Reason)
	}
	return fmt.Errorf("declare queue %q: %w", queue, err)
}
