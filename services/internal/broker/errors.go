package broker

import (
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

var (
	// ErrUnavailable says that nothing was published: there is no connection,
	// the broker blocks publishers, or the publisher is closed.
	ErrUnavailable = errors.New("the message broker is unavailable")
	// ErrBlocked is an ErrUnavailable: the broker takes nothing from any publisher, since an alarm of its memory or disk is on.
	ErrBlocked = errors.New("the broker blocks publishers")
	// ErrRefused says that the broker's last word was a refusal (nack), as a full queue's is.
	ErrRefused = errors.New("the broker refused the message (nack): is the queue full?")
	// ErrNotConfirmed says that publishing began and was not confirmed: nacked,
	// returned, timed out, or the connection was lost. The event may be on the
	// queue or not; a retry with the same event_id is safe.
	ErrNotConfirmed = errors.New("the message broker did not confirm")
	// ErrTopology says that a queue can't be used as configured. It does not
	// pass by itself.
	ErrTopology = errors.New("queue can't be used as configured")
	// ErrSessionLost says that a connection or channel is gone, and with it
	// everything that was delivered on it.
	ErrSessionLost = errors.New("broker session lost")
)

// topologyError explains the broker's refusal of a declaration.
func topologyError(queue string, t QueueType, err error) error {
	var refusal *amqp.Error
	if !errors.As(err, &refusal) {
		return fmt.Errorf("declare queue %q: %w", queue, err)
	}
	switch refusal.Code {
	case amqp.PreconditionFailed:
		return fmt.Errorf("%w: %q exists with other properties than RABBITMQ_QUEUE_TYPE=%s declares (%s); "+
			"set RABBITMQ_QUEUE_TYPE to what it is (classic for a queue that the Python service made, existing to declare nothing), "+
			"choose another RABBITMQ_QUEUE_NAME, or drain and delete the queue", ErrTopology, queue, t, refusal.Reason)
	case amqp.NotFound:
		// Not an ErrTopology: whoever declares it may only be late.
		return fmt.Errorf("queue %q does not exist yet, and RABBITMQ_QUEUE_TYPE=%s declares nothing (%s)", queue, t, refusal.Reason)
	case amqp.AccessRefused:
		return fmt.Errorf("%w: the user may not declare %q; grant it the configure permission or set RABBITMQ_QUEUE_TYPE=existing (%s)",
			ErrTopology, queue, refusal.Reason)
	}
	return fmt.Errorf("declare queue %q: %w", queue, err)
}
