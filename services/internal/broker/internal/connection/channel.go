package connection

import (
	"errors"
	"fmt"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// Channel is a channel that keeps what the broker says when it closes it or its connection: the
// client's own errors ("channel/connection is not open") hide it.
type Channel struct {
	*amqp.Channel
	notices [2]chan *amqp.Error // the channel's and the connection's

	mu     sync.Mutex
	reason error // they say it once
}

// OpenChannel opens a channel.
func (c *Connection) OpenChannel() (*Channel, error) {
	ch, err := c.Channel()
	if err != nil {
		return nil, fmt.Errorf("open channel: %w", err)
	}
	return &Channel{Channel: ch, notices: [2]chan *amqp.Error{
		ch.NotifyClose(make(chan *amqp.Error, 1)),
		c.NotifyClose(make(chan *amqp.Error, 1)),
	}}, nil
}

// Why returns what the broker said when it closed the channel or the connection; nil if it said
// nothing.
func (c *Channel) Why() error {
	_, why := c.look()
	return why
}

// look returns what the broker has said, and whether it will say nothing more.
func (c *Channel) look() (over bool, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, notice := range c.notices {
		select {
		case err, ok := <-notice:
			if ok && err != nil && c.reason == nil {
				c.reason = err
			}
			over = over || !ok
		default:
		}
	}
	return over, c.reason
}

// Explain puts the broker's words in the place of an error of the client's that hides them. It
// waits for them for a moment: the client refuses to publish on a closed channel before it says why
// it is closed (amqp091-go 1.16, Channel.shutdown).
func (c *Channel) Explain(err error) error {
	if !errors.Is(err, amqp.ErrClosed) {
		return err
	}
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		over, why := c.look()
		if why != nil {
			return why
		}
		if over || time.Since(start) > time.Second {
			return err
		}
	}
}

// LostError returns an ErrSessionLost with the broker's words, if it said any.
func (c *Channel) LostError() error {
	if why := c.Why(); why != nil {
		return fmt.Errorf("%w: %w", broker.ErrSessionLost, why)
	}
	return broker.ErrSessionLost
}
