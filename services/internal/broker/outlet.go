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

// Message is a message to publish by an [Outlet].
type Message struct {
	Body        []byte
	ContentType string
	MessageID   string
	Type        string
	Headers     map[string]any
}

// Outlet publishes a few messages at a time, to any queue, and waits for their
// confirms: dead letters and replays. It has a connection of its own, since the
// broker stops reading connections that publish while an alarm is on, acks included.
// It connects when it is first used, and anew after an error. It is safe for
// concurrent use.
type Outlet struct {
	cfg Config

	mu       sync.Mutex // held for a whole Publish, so that confirms can't mix
	conn     *connection
	ch       *amqp.Channel
	confirms chan amqp.Confirmation
	returns  chan amqp.Return
	closing  *closing
	limit    int // the broker's max_message_size, bytes, if a message was over it; 0: none was
}

// outletWindow is how many messages are published before their confirms are
// waited for.
const outletWindow = 128

// NewOutlet returns an outlet that is not connected yet.
func NewOutlet(cfg Config) *Outlet { return &Outlet{cfg: cfg.withDefaults()} }

// Publish puts messages on a queue and returns nil when the broker holds
// every one for good. After an error any of them may or may not be there. It is a TooLargeError when the broker takes no
// message of that size.
func (o *Outlet) Publish(ctx context.Context, queue string, messages []Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(messages) > 0 {
		n := min(len(messages), outletWindow)
		if err := o.publish(ctx, queue, messages[:n]); err != nil {
			if tooLarge := new(TooLargeError); !errors.As(err, &tooLarge) {
				o.drop()
			}
			return fmt.Errorf("publish to %q: %w", queue, err)
		}
		messages = messages[n:]
	}
	return nil
}

// Fits returns a TooLargeError where a message is larger than the broker takes, as far as it has told on this connection.
func (o *Outlet) Fits(messages ...[]Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, some := range messages {
		if err := o.fits(some); err != nil {
			return err
		}
	}
	return nil
}

func (o *Outlet) fits(messages []Message) error {
	for i := range messages {
		if size := len(messages[i].Body); o.limit > 0 && size > o.limit {
			return &TooLargeError{Size: size, Limit: o.limit}
		}
	}
	return nil
}

func (o *Outlet) publish(ctx context.Context, queue string, messages []Message) error {
	if err := o.connect(ctx); err != nil {
		return err
	}
	if err := o.fits(messages); err != nil {
		return err
	}
	for i, m := range messages {
		err := o.ch.Publish("", queue, true, false, amqp.Publishing{
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
			return o.explain(err)
		}
	}
	timeout := time.NewTimer(o.cfg.ConfirmTimeout)
	defer timeout.Stop()
	for range messages {
		select {
		case confirm, open := <-o.confirms:
			if !open {
				return o.explain(o.closing.lost())
			}
			// A return comes before its confirm.
			select {
			case r := <-o.returns:
				return fmt.Errorf("unroutable: %s", r.ReplyText)
			default:
			}
			if !confirm.Ack {
				return errors.New("refused by the broker (nack)")
			}
		case <-timeout.C:
			return fmt.Errorf("no confirm within %s", o.cfg.ConfirmTimeout)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// connect makes sure of a channel in confirm mode.
func (o *Outlet) connect(ctx context.Context) error {
	if o.ch != nil && !o.ch.IsClosed() && !o.conn.IsClosed() {
		return nil
	}
	if o.conn == nil || o.conn.IsClosed() {
		o.drop()
		conn, err := dial(ctx, o.cfg, nil)
		if err != nil {
			return err
		}
		o.conn = conn
	}
	var err error
	if o.ch, err = o.conn.Channel(); err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	o.closing = hearClosing(o.conn, o.ch)
	if err := declare(o.ch, o.cfg); err != nil {
		return err
	}
	if err := o.ch.Confirm(false); err != nil {
		return fmt.Errorf("turn publisher confirms on: %w", o.closing.explain(err))
	}
	o.confirms = o.ch.NotifyPublish(make(chan amqp.Confirmation, outletWindow))
	o.returns = o.ch.NotifyReturn(make(chan amqp.Return, outletWindow))
	return nil
}

// explain says why the broker has closed the channel, and keeps what is learnt from it.
func (o *Outlet) explain(err error) error {
	err = o.closing.explain(err)
	if tooLarge := asTooLarge(err); tooLarge != nil {
		o.limit = tooLarge.Limit
		return tooLarge
	}
	return err
}

// drop forgets the connection, with all that may still come on it.
func (o *Outlet) drop() {
	if o.conn != nil {
		o.conn.kill()
	}
	o.conn, o.ch, o.limit = nil, nil, 0
}

// Close ends the connection.
func (o *Outlet) Close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn != nil {
		o.conn.close()
	}
	o.conn, o.ch = nil, nil
}
