package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Message is a message to publish by an [ConfirmingPublisher].
type Message struct {
	Body        []byte
	ContentType string
	MessageID   string
	Type        string
	Headers     map[string]any
}

// ConfirmingPublisher publishes a few messages at a time, to any queue, and waits for their
// confirms: dead letters and replays. It has a connection of its own, since the
// broker stops reading connections that publish while an alarm is on, acks included.
// It connects when it is first used, and anew after an error. It is safe for
// concurrent use.
type ConfirmingPublisher struct {
	cfg Config

	mu       sync.Mutex // held for a whole Publish, so that confirms can't mix
	conn     *connection
	ch       *amqp.Channel
	confirms chan amqp.Confirmation
	returns  chan amqp.Return
	notice   *closeNotice
	limit    int // the broker's max_message_size, bytes, if a message was over it; 0: none was
}

// confirmWindow is how many messages are published before their confirms are
// waited for.
const confirmWindow = 128

// NewConfirmingPublisher returns a confirming publisher that is not connected yet.
func NewConfirmingPublisher(cfg Config) *ConfirmingPublisher {
	return &ConfirmingPublisher{cfg: cfg.withDefaults()}
}

// Publish puts messages on a queue and returns nil when the broker holds
// every one for good. After an error any of them may or may not be there. It is a TooLargeError when the broker takes no
// message of that size.
func (c *ConfirmingPublisher) Publish(ctx context.Context, queue string, messages []Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(messages) > 0 {
		n := min(len(messages), confirmWindow)
		if err := c.publish(ctx, queue, messages[:n]); err != nil {
			if tooLarge := new(TooLargeError); !errors.As(err, &tooLarge) {
				c.drop()
			}
			return fmt.Errorf("publish to %q: %w", queue, err)
		}
		messages = messages[n:]
	}
	return nil
}

// Fits returns a TooLargeError where a message is larger than the broker takes, as far as it has told on this connection.
func (c *ConfirmingPublisher) Fits(messages ...[]Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, some := range messages {
		if err := c.fits(some); err != nil {
			return err
		}
	}
	return nil
}

func (c *ConfirmingPublisher) fits(messages []Message) error {
	for i := range messages {
		if size := len(messages[i].Body); c.limit > 0 && size > c.limit {
			return &TooLargeError{Size: size, Limit: c.limit}
		}
	}
	return nil
}

func (c *ConfirmingPublisher) publish(ctx context.Context, queue string, messages []Message) error {
	if err := c.connect(ctx); err != nil {
		return err
	}
	if err := c.fits(messages); err != nil {
		return err
	}
	for i, m := range messages {
		err := c.ch.Publish("", queue, true, false, amqp.Publishing{
			DeliveryMode:  amqp.Persistent,
			Timestamp:     time.Now(),
			AppId:         appID,
			CorrelationId: strconv.Itoa(i),
			ContentType:   shortString(m.ContentType),
			MessageId:     shortString(m.MessageID),
			Type:          shortString(m.Type),
			Headers:       m.Headers,
			Body:          m.Body,
		})
		if err != nil {
			return c.explain(err)
		}
	}
	timeout := time.NewTimer(c.cfg.ConfirmTimeout)
	defer timeout.Stop()
	for range messages {
		select {
		case confirm, open := <-c.confirms:
			if !open {
				return c.explain(c.notice.lost())
			}
			// A return comes before its confirm.
			select {
			case r := <-c.returns:
				return fmt.Errorf("unroutable: %s", r.ReplyText)
			default:
			}
			if !confirm.Ack {
				return errors.New("refused by the broker (nack)")
			}
		case <-timeout.C:
			return fmt.Errorf("no confirm within %s", c.cfg.ConfirmTimeout)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// connect makes sure of a channel in confirm mode.
func (c *ConfirmingPublisher) connect(ctx context.Context) error {
	if c.ch != nil && !c.ch.IsClosed() && !c.conn.IsClosed() {
		return nil
	}
	if c.conn == nil || c.conn.IsClosed() {
		c.drop()
		conn, err := dial(ctx, c.cfg, nil)
		if err != nil {
			return err
		}
		c.conn = conn
	}
	var err error
	if c.ch, err = c.conn.Channel(); err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	c.notice = newCloseNotice(c.conn, c.ch)
	if err := declare(c.ch, c.cfg); err != nil {
		return err
	}
	if err := c.ch.Confirm(false); err != nil {
		return fmt.Errorf("turn publisher confirms on: %w", c.notice.explain(err))
	}
	c.confirms = c.ch.NotifyPublish(make(chan amqp.Confirmation, confirmWindow))
	c.returns = c.ch.NotifyReturn(make(chan amqp.Return, confirmWindow))
	return nil
}

// explain says why the broker has closed the channel, and keeps what is learnt from it.
func (c *ConfirmingPublisher) explain(err error) error {
	err = c.notice.explain(err)
	if tooLarge := asTooLarge(err); tooLarge != nil {
		c.limit = tooLarge.Limit
		return tooLarge
	}
	return err
}

// drop forgets the connection, with all that may still come on it.
func (c *ConfirmingPublisher) drop() {
	if c.conn != nil {
		c.conn.kill()
	}
	c.conn, c.ch, c.limit = nil, nil, 0
}

// Close ends the connection.
func (c *ConfirmingPublisher) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.close()
	}
	c.conn, c.ch = nil, nil
}
