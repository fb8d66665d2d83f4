package admin

import (
	"context"
	"fmt"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/connection"
	"github.com/trailpost/trailpost/services/internal/broker/internal/queues"
)

// Browser takes messages off a queue one by one. What it took and did not ack goes back when it is
// closed, or its process killed.
//
// An ack is no more than sent. A quorum queue applies some 33 of those that are under way when
// their channel closes, and the others come back (RabbitMQ 3.10.8 and 4.3): its side of the channel
// keeps what it could not send yet, and dies with it. No answer on the channel tells, not even
// tx.commit-ok. Whoever must know that a message is gone closes the Browser and looks with a new
// one.
type Browser struct {
	conn  *connection.Connection
	ch    *connection.Channel
	queue string

	held  int // messages taken and not acked
	acked bool
}

const (
	// returnTimeout is how long Close waits for the broker to apply acks, and to put back what was
	// taken.
	returnTimeout = 5 * time.Second
	// othersTimeout is how long acks of others may take to be applied, before their messages count
	// as held.
	othersTimeout = time.Second
)

// OpenBrowser connects to browse a queue, which must exist.
func OpenBrowser(ctx context.Context, cfg broker.Config, queue string) (*Browser, error) {
	conn, err := connection.DialReader(ctx, cfg.WithDefaults(), nil)
	if err != nil {
		return nil, err
	}
	ch, err := conn.OpenChannel()
	if err != nil {
		conn.Kill()
		return nil, err
	}
	return &Browser{conn: conn, ch: ch, queue: queue}, nil
}

// Ready is the number of messages that can be taken.
func (b *Browser) Ready() (int, error) {
	status, err := b.status()
	return status.Messages, err
}

func (b *Browser) status() (broker.QueueStatus, error) {
	status, err := queues.Status(b.ch.Channel, b.queue)
	if err != nil {
		return status, fmt.Errorf("look at %q: %w", b.queue, b.ch.Explain(err))
	}
	return status, nil
}

// Alone reports whether nobody else holds a message of the queue unacked, as far as the broker
// tells: a quorum queue counts a consumer for each that was taken (by basic.get, too; seen on
// 3.10.8 and 4.3), until its settlement is applied. So it also reports that a Browser that was
// closed before holds nothing any more, and that no acks of this one are under way. A classic queue
// counts real consumers alone, and applies a channel's acks before its end.
func (b *Browser) Alone() (bool, error) {
	for deadline := time.Now().Add(othersTimeout); ; time.Sleep(5 * time.Millisecond) {
		status, err := b.status()
		if err != nil || status.Consumers <= b.held {
			return err == nil, err
		}
		if time.Now().After(deadline) {
			return false, nil
		}
	}
}

// Get takes the next message; ok is false when there is none.
func (b *Browser) Get() (d broker.Delivery, ok bool, err error) {
	raw, ok, err := b.ch.Get(b.queue, false)
	if err != nil {
		return d, false, fmt.Errorf("take a message from %q: %w", b.queue, b.ch.Explain(err))
	}
	if !ok {
		return d, false, nil
	}
	b.held++
	return broker.NewDelivery(&raw), true, nil
}

// Ack asks for the removal of one message that was taken.
func (b *Browser) Ack(tag uint64) error {
	if err := b.ch.Ack(tag, false); err != nil {
		return fmt.Errorf("ack a message of %q: %w", b.queue, b.ch.Explain(err))
	}
	b.held--
	b.acked = true
	return nil
}

// Close gives back what was taken and not acked, and waits until it can be taken again: a replay
// after a listing must find what was listed.
func (b *Browser) Close() (err error) {
	if b.acked {
		err = b.awaitSettled(b.held, 0)
	}
	if held := b.held; err == nil && held > 0 {
		// Nacked, since that does not count as a failed delivery (since 4.3), and a lost channel
		// does.
		if err = b.ch.Explain(b.ch.Nack(0, true, true)); err == nil {
			err = b.awaitSettled(0, held)
		}
	}
	if closing := b.ch.Close(); err == nil {
		err = closing
	}
	b.conn.Close()
	return err
}

// awaitSettled waits until the broker counts at most so many messages as held, and has at least so
// many ready. Others may hold some for as long as they like, and take what is ready: so it gives
// up, without an error, when nothing changes any more.
func (b *Browser) awaitSettled(held, ready int) error {
	var last broker.QueueStatus
	began := time.Now()
	changed := began
	for time.Since(changed) < returnTimeout && time.Since(began) < 10*returnTimeout {
		status, err := b.status()
		if err != nil || status.Consumers <= held && status.Messages >= ready {
			return err
		}
		if status != last {
			last, changed = status, time.Now()
		}
		if status.Messages >= ready && time.Since(changed) > othersTimeout {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}
