package drain

import (
	"time"

	"github.com/trailpost/trailpost/services/internal/event"
)

// maxBatchBytes is how large the messages of a batch may be together, unless one alone is larger. A
// worker holds two batches; a thousand events of the largest allowed size would take a quarter of a
// GiB each.
const maxBatchBytes = 8 << 20

// batch is whole messages that share one fate: all are acked, or none.
type batch struct {
	messages    []message
	events      []event.Event
	count       int       // events and letters
	bytes       int       // of the messages' bodies
	redelivered bool      // or replayed: some events may be stored already
	began       time.Time // when its first message was received
}

func (b *batch) empty() bool { return len(b.messages) == 0 }

// add copies the message's events (see [eventBuffers]).
func (b *batch) add(m message) {
	first := len(b.events)
	b.events = append(b.events, m.events...)
	m.events = b.events[first:]
	b.messages = append(b.messages, m)
	b.count += m.count()
	b.bytes += len(m.Body)
	b.redelivered = b.redelivered || m.mayBeStored()
}

// fits reports whether b can take m, too, of at most maxEvents events and letters.
func (b *batch) fits(m *message, maxEvents int) bool {
	return b.count+m.count() <= maxEvents && b.bytes+len(m.Body) <= maxBatchBytes
}

// headersOf returns the headers of the message that brought the event at index i.
func (b *batch) headersOf(i int) map[string]any {
	for _, m := range b.messages {
		if i < len(m.events) {
			return m.Headers
		}
		i -= len(m.events)
	}
	return nil
}

func (b *batch) lastTag() uint64 { return b.messages[len(b.messages)-1].Tag }

// oldest returns when the batch's first event was received; zero without events.
func (b *batch) oldest() (t time.Time) {
	for i := range b.events {
		if at := b.events[i].ReceivedAt; t.IsZero() || at.Before(t) {
			t = at
		}
	}
	return t
}

// A batch whose events are late already waits longer for more: larger batches cost PostgreSQL and
// RabbitMQ less per event, so that the queue is drained sooner. Otherwise a queue of single events
// gives batches of some dozens (hack/bench, store.singles).
const (
	lateAfter  = time.Second // since an event was received; well over the time without a backlog
	lateLinger = 10          // times the usual linger
)

// linger returns how long the batch, which has its first message, waits for more: usual, unless its
// events are late.
func (b *batch) linger(usual time.Duration, now time.Time) time.Duration {
	if oldest := b.oldest(); !oldest.IsZero() && now.Sub(oldest) > lateAfter {
		return lateLinger * usual
	}
	return usual
}
