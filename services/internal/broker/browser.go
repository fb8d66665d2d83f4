package broker

import (
	"context"
	"fmt"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Browser takes messages off a queue one by one. What it took and did not ack
// goes back when it is closed, or its process killed.
type Browser struct {
	conn  *connection
	ch    *amqp.Channel
	queue string
	held  int // messages taken and not acked
}

// returnTimeout is how long Close waits for the broker to put back what was
// taken.
const returnTimeout = 5 * time.Second

// OpenBrowser connects to browse a queue, which must exist.
func OpenBrowser(ctx context.Context, cfg Config, queue string) (*Browser, error) {
	conn, err := dial(ctx, cfg.withDefaults(), func(conn net.Conn) net.Conn { return newRoomyConn(conn) })
	if err != nil {
		return nil, err
	}
	ch, err := conn.Channel()
	if err != nil {
		conn.kill()
		return nil, fmt.Errorf("open channel: %w", err)
	}
	return &Browser{conn: conn, ch: ch, queue: queue}, nil
}

// Ready is the number of messages that can be taken.
func (b *Browser) Ready() (int, error) {
	status, err := queueStatus(b.ch, b.queue)
	return status.Messages, err
}

// Get takes the next message; ok is false when there is none.
func (b *Browser) Get() (d Delivery, ok bool, err error) {
	raw, ok, err := b.ch.Get(b.queue, false)
	if err != nil {
		return d, false, fmt.Errorf("take a message from %q: %w", b.queue, err)
	}
	if !ok {
		return d, false, nil
	}
	b.held++
	return newDelivery(&raw), true, nil
}

// Ack removes one message that was taken.
func (b *Browser) Ack(tag uint64) error {
	if err := b.ch.Ack(tag, false); err != nil {
		return fmt.Errorf("ack a message of %q: %w", b.queue, err)
	}
	b.held--
	return nil
}

// Close gives back what was taken and not acked, and waits until it can be
// taken again: who lists and then replays must find what was listed.
func (b *Browser) Close() error {
	// Nacked, since that does not count as a failed delivery (since 4.3), and
	// a lost channel does.
	err := b.ch.Nack(0, true, true)
	if err == nil && b.held > 0 {
		err = b.awaitReturn()
	}
	// The channel's closing is waited for, so that acks that were sent before
	// have arrived.
	if closing := b.ch.Close(); err == nil {
		err = closing
	}
	b.conn.close()
	return err
}

// awaitReturn asks for the queue's depth until it holds as much as was given
// back. Others may take from it meanwhile, so it gives up without an error.
func (b *Browser) awaitReturn() error {
	for deadline := time.Now().Add(returnTimeout); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		n, err := b.Ready()
		if err != nil || n >= b.held {
			return err
		}
	}
	return nil
}
