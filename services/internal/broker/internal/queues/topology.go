package queues

import (
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// Arguments of the queues. They are few and final, since a redeclaration with others fails (406).
// What can be tuned (delivery limit, consumer timeout, maximum length) belongs into policies.
func queueArguments(dead string) amqp.Table {
	return amqp.Table{
		"x-queue-type":              "quorum",
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": dead,
		// At-least-once needs reject-publish, or the broker falls back to at-most-once without a
		// word (quorum queues, since 3.10).
		"x-dead-letter-strategy": "at-least-once",
		"x-overflow":             "reject-publish",
	}
}

// The dead-letter queue dead-letters nothing itself, and must never drop what is listed often: on
// 4.3 some 20 returns would delete a message otherwise.
func deadArguments() amqp.Table {
	return amqp.Table{
		"x-queue-type":     "quorum",
		"x-delivery-limit": int64(2_000_000_000),
	}
}

// Declare makes the queue and its dead-letter queue, or finds them as they should be. An
// ErrTopology closes the channel.
func Declare(ch *amqp.Channel, cfg broker.Config) error {
	dead := cfg.DeadQueue()
	if cfg.QueueType == broker.Existing {
		for _, name := range []string{cfg.Queue, dead} {
			if _, err := ch.QueueDeclarePassive(name, true, false, false, false, nil); err != nil {
				return topologyError(name, cfg.QueueType, err)
			}
		}
		return nil
	}
	if _, err := ch.QueueDeclare(dead, true, false, false, false, deadArguments()); err != nil {
		return topologyError(dead, cfg.QueueType, err)
	}
	var arguments amqp.Table
	if cfg.QueueType == broker.Quorum {
		arguments = queueArguments(dead)
	}
	if _, err := ch.QueueDeclare(cfg.Queue, true, false, false, false, arguments); err != nil {
		return topologyError(cfg.Queue, cfg.QueueType, err)
	}
	return nil
}
