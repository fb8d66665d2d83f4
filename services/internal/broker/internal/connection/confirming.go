package connection

import (
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
)

// appID is the app_id of all messages of ours.
const appID = "trailpost"

// maxShortString is AMQP's limit of a short string, bytes.
const maxShortString = 255

// Confirming is a channel in confirm mode.
type Confirming struct {
	*Channel
	Confirms chan amqp.Confirmation
	Returns  chan amqp.Return // a message that is returned is confirmed after that
}

// Confirming turns confirms on. At most window messages may be unconfirmed at a time: a full
// listener loses notifications after 5 s (amqp091-go, since 1.13), so each has room for all that
// can be outstanding.
func (c *Channel) Confirming(window int) (*Confirming, error) {
	if err := c.Confirm(false); err != nil {
		return nil, fmt.Errorf("turn publisher confirms on: %w", c.Explain(err))
	}
	return &Confirming{
		Channel:  c,
		Confirms: c.NotifyPublish(make(chan amqp.Confirmation, window)),
		Returns:  c.NotifyReturn(make(chan amqp.Return, window)),
	}, nil
}

// Publish writes a persistent message, which is returned if no queue takes it. number, its
// correlation id, is what a return is known by.
func (c *Confirming) Publish(queue, number string, m broker.Message, now time.Time) error {
	return c.Channel.Publish("", queue, true, false, amqp.Publishing{
		DeliveryMode:  amqp.Persistent,
		Timestamp:     now,
		AppId:         appID,
		CorrelationId: number,
		ContentType:   shortString(m.ContentType),
		MessageId:     shortString(m.MessageID),
		Type:          shortString(m.Type),
		Headers:       m.Headers,
		Body:          m.Body,
	})
}

// shortString cuts s to what AMQP can carry. The body has it whole.
func shortString(s string) string { return event.Truncate(s, maxShortString) }
