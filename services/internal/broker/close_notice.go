package broker

import (
	"errors"
	"fmt"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// closeNotice hears what the broker says when it closes a channel or its connection: the client's own errors ("channel/connection
// is not open") hide it. It is safe for concurrent use.
type closeNotice struct {
	notices [2]chan *amqp.Error // the channel's and the connection's

	mu     sync.Mutex
	reason error // they say it once
}

func newCloseNotice(conn *connection, ch *amqp.Channel) *closeNotice {
	return &closeNotice{notices: [2]chan *amqp.Error{
		ch.NotifyClose(make(chan *amqp.Error, 1)),
		conn.NotifyClose(make(chan *amqp.Error, 1)),
	}}
}

// why is what the broker said; nil if it said nothing.
func (c *closeNotice) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, notice := range c.notices {
		select {
		case err, ok := <-notice:
			if ok && err != nil && c.reason == nil {
				c.reason = err
			}
		default:
		}
	}
	return c.reason
}

// explain puts the broker's words in the place of an error of the client's that hides them.
func (c *closeNotice) explain(err error) error {
	if why := c.why(); why != nil && errors.Is(err, amqp.ErrClosed) {
		return why
	}
	return err
}

// lost is an ErrSessionLost with the broker's words, if it said any.
func (c *closeNotice) lost() error {
	if why := c.why(); why != nil {
		return fmt.Errorf("%w: %w", ErrSessionLost, why)
	}
	return ErrSessionLost
}
