package drain

import (
	"context"
	"time"

	"github.com/trailpost/trailpost/services/internal/event"
)

// batch is whole messages with one shared outcome: all are acked, or none.
type batch struct {
	messages    []message
	events      []event.Event
	count       int // events and letters
	redelivered bool
	began       time.Time // when its first message was received
}

func (b *batch) empty() bool { return len(b.messages) == 0 }

func (b *batch) add(m message) {
	b.messages = append(b.messages, m)
	b.events = append(b.events, m.events...)
	b.count += m.count()
	b.redelivered = b.redelivered || m.Redelivered
}

// carried are the headers of the message that brought the event at index i.
func (b *batch) carried(i int) map[string]any {
	for _, m := range b.messages {
		if i < len(m.events) {
			return m.Headers
		}
		i -= len(m.events)
	}
	return nil
}

func (b *batch) lastTag() uint64 { return b.messages[len(b.messages)-1].Tag }

// oldest is when the batch's first event was received; zero when there is
// none.
func (b *batch) oldest() (t time.Time) {
	for i := range b.events {
		if at := b.events[i].ReceivedAt; t.IsZero() || at.Before(t) {
			t = at
		}
	}
	return t
}

// collect waits for a message, and takes what else is there, up to a batch. It
// never waits for more longer than [Worker.linger]. The batch is empty when take has
// ended.
func (w *Worker) collect(take context.Context, s Session) (*batch, error) {
	b := &batch{events: make([]event.Event, 0, w.room)}
	defer func() { w.room = min(max(2*len(b.events), w.room/2), w.opts.BatchSize) }()
	var deadline time.Time
	for b.count < w.opts.BatchSize {
		m, ok, err := w.receive(take, s, b.empty(), deadline)
		if err != nil {
			return nil, err
		}
		if !ok {
			if b.empty() && take.Err() == nil {
				continue
			}
			break
		}
		if !b.empty() && (m.alone() || b.count+m.count() > w.opts.BatchSize) {
			w.held = &m
			break
		}
		if b.empty() {
			b.began = time.Now()
		}
		b.add(m)
		if m.alone() {
			break
		}
		if deadline.IsZero() {
			deadline = b.began.Add(w.linger(b))
		}
	}
	return b, nil
}

// A batch whose events are late already waits longer for more: larger batches cost
// PostgreSQL and RabbitMQ less an event, so that the queue is worked off sooner. A queue
// of single events has batches of some dozens otherwise (hack/bench, store.singles).
const (
	lateAfter  = time.Second // since an event was received; well over what it takes when nothing waits
	lateLinger = 10          // lingers
)

// linger is how long b, which has its first message, waits for more.
func (w *Worker) linger(b *batch) time.Duration {
	if oldest := b.oldest(); !oldest.IsZero() && w.opts.Now().Sub(oldest) > lateAfter {
		return lateLinger * w.opts.Linger
	}
	return w.opts.Linger
}

// receive returns the message that was held back, or the next one.
func (w *Worker) receive(take context.Context, s Session, first bool, deadline time.Time) (m message, ok bool, err error) {
	if w.held != nil {
		m, w.held = *w.held, nil
		return m, true, nil
	}
	wait := time.Duration(-1)
	if !first {
		wait = max(0, time.Until(deadline))
	}
	d, ok, err := s.Receive(take, wait)
	if err != nil || !ok {
		return m, false, err
	}
	m = read(d, w.opts.Now())
	return m, true, s.Saw(m.count())
}
