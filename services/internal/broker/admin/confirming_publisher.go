package admin

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/connection"
	"github.com/trailpost/trailpost/services/internal/broker/internal/queues"
)

// ConfirmingPublisher publishes a few messages at a time, to any queue, and waits for their
// confirms: dead letters and replays. It has a connection of its own, since the broker stops
// reading connections that publish while an alarm is on, acks included. It connects when it is
// first used, and again after an error. It is safe for concurrent use.
type ConfirmingPublisher struct {
	cfg broker.Config

	mu    sync.Mutex // held for a whole Publish, so that confirms can't mix
	conn  *connection.Connection
	ch    *connection.Confirming // nil until it is connected
	limit int                    // the broker's max_message_size, bytes, if a message was over it; 0: none was
}

// confirmWindow is how many messages are published before their confirms are waited for.
const confirmWindow = 128

// NewConfirmingPublisher returns a publisher that is not connected yet.
func NewConfirmingPublisher(cfg broker.Config) *ConfirmingPublisher {
	return &ConfirmingPublisher{cfg: cfg.WithDefaults()}
}

// Publish puts messages on a queue and returns nil when the broker holds every one durably. After
// an error any of them may or may not be there. It is a TooLargeError when the broker takes no
// message of that size.
func (c *ConfirmingPublisher) Publish(ctx context.Context, queue string, messages []broker.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(messages) > 0 {
		n := min(len(messages), confirmWindow)
		if err := c.publish(ctx, queue, messages[:n]); err != nil {
			if tooLarge := new(broker.TooLargeError); !errors.As(err, &tooLarge) {
				c.drop()
			}
			return fmt.Errorf("publish to %q: %w", queue, err)
		}
		messages = messages[n:]
	}
	return nil
}

// Fits returns a TooLargeError where a message is larger than the broker takes, as far as it has
// told on this connection.
func (c *ConfirmingPublisher) Fits(messages ...[]broker.Message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, some := range messages {
		if err := c.fits(some); err != nil {
			return err
		}
	}
	return nil
}

func (c *ConfirmingPublisher) fits(messages []broker.Message) error {
	for i := range messages {
		if size := len(messages[i].Body); c.limit > 0 && size > c.limit {
			return &broker.TooLargeError{Size: size, Limit: c.limit}
		}
	}
	return nil
}

func (c *ConfirmingPublisher) publish(ctx context.Context, queue string, messages []broker.Message) error {
	if err := c.connect(ctx); err != nil {
		return err
	}
	if err := c.fits(messages); err != nil {
		return err
	}
	for i, m := range messages {
		if err := c.ch.Publish(queue, strconv.Itoa(i), m, time.Now()); err != nil {
			return c.explain(err)
		}
	}
	timeout := time.NewTimer(c.cfg.ConfirmTimeout)
	defer timeout.Stop()
	for range messages {
		select {
		case confirm, open := <-c.ch.Confirms:
			if !open {
				return c.explain(c.ch.LostError())
			}
			// A return comes before its confirm.
			select {
			case r := <-c.ch.Returns:
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
	c.ch = nil
	if c.conn == nil || c.conn.IsClosed() {
		c.drop()
		conn, err := connection.Dial(ctx, c.cfg)
		if err != nil {
			return err
		}
		c.conn = conn
	}
	ch, err := c.conn.OpenChannel()
	if err != nil {
		return err
	}
	if err := queues.Declare(ch.Channel, c.cfg); err != nil {
		return err
	}
	c.ch, err = ch.Confirming(confirmWindow)
	return err
}

// explain says why the broker has closed the channel, and keeps what is learnt from it.
func (c *ConfirmingPublisher) explain(err error) error {
	err = c.ch.Explain(err)
	if tooLarge := connection.AsTooLarge(err); tooLarge != nil {
		c.limit = tooLarge.Limit
		return tooLarge
	}
	return err
}

// drop forgets the connection, with all that may still come on it.
func (c *ConfirmingPublisher) drop() {
	if c.conn != nil {
		c.conn.Kill()
	}
	c.conn, c.ch, c.limit = nil, nil, 0
}

// Close ends the connection.
func (c *ConfirmingPublisher) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.Close()
	}
	c.conn, c.ch = nil, nil
}
