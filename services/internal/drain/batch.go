package drain

import (
	"time"

	"github.com/trailpost/trailpost/services/internal/event"
)

// maxBatchBytes is how large the messages of a batch may be together, unless one alone
// is larger. Two batches are in a worker's hands; a thousand events of the largest size
// that is allowed would take a quarter of a GiB each.
const maxBatchBytes = 8 << 20

// batch is whole messages with one shared outcome: all are acked, or none.
type batch struct {
	messages    []message
	events      []event.Event
	count       int       // events and letters
	bytes       int       // of the messages' bodies
	redelivered bool      // or replayed: some of it may be stored already
	began       time.Time // when its first message was received
}

func (b *batch) empty() bool { return len(b.messages) == 0 }

// add copies the message's events, so that their room can be used again.
func (b *batch) add(m message) {
	first := len(b.events)
	b.events = append(b.events, m.events...)
	m.events = b.events[first:]
	b.messages = append(b.messages, m)
	b.count += m.count()
	b.bytes += len(m.Body)
	b.redelivered = b.redelivered || m.before()
}

// fits reports whether b may have m, too.
func (w *Worker) fits(b *batch, m *message) bool {
	return b.count+m.count() <= w.opts.BatchSize && b.bytes+len(m.Body) <= maxBatchBytes
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
