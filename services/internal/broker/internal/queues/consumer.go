package queues

import (
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// ConsumerArguments are such as streams refuse and other queues take for what they do anyway: 0 is
// the default priority (seen on 3.10.8). So a consumer without the configure permission finds a
// stream, too. That a delivery has the header x-stream-offset would say less: whoever may publish
// can set it.
func ConsumerArguments(cfg broker.Config) amqp.Table {
	if cfg.QueueType != broker.Existing {
		return nil
	}
	return amqp.Table{argumentPriority: int32(0)}
}

const argumentPriority = "x-priority"

// ConsumeError explains the broker's refusal of a consumer.
func ConsumeError(queue string, err error) error {
	var refusal *amqp.Error
	if errors.As(err, &refusal) && refusal.Code == amqp.PreconditionFailed && strings.Contains(refusal.Reason, "'"+argumentPriority+"'") {
		return existingError(queue, faultStream)
	}
	return fmt.Errorf("consume from %q: %w", queue, err)
}
