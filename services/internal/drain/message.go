package drain

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
)

// aloneAfter is how often a message may come back before it is processed
// alone, so that one that kills its consumer does not take its neighbours
// past the delivery limit.
const aloneAfter = 2

// message is a delivery, read.
type message struct {
	broker.Delivery
	events  []event.Event
	letters []deadletter.Letter // what could not be read
}

func (m *message) count() int { return len(m.events) + len(m.letters) }

// before reports whether events of the message may be in the trail already: it comes again, or it is a replay of what was
// delivered once.
func (m *message) before() bool {
	_, replayed := m.Headers[deadletter.HeaderReplays]
	return m.Redelivered || replayed
}

func (m *message) alone() bool { return m.Returns >= aloneAfter }

// read takes a delivery apart. Whatever is in it ends as an event or in a
// letter. The events are in room if they fit.
func read(d broker.Delivery, key event.Key, now time.Time, room []event.Event) message {
	m := message{Delivery: d, events: room[:0]}
	if !d.IsGroup() {
		m.line(d.Body, key, now)
		return m
	}
	lines, err := d.Lines()
	if err != nil {
		m.whole(deadletter.ReasonGroupTooLarge, err.Error())
		return m
	}
	if len(lines) == 0 {
		m.whole(deadletter.ReasonEmptyGroup, "a group without a line")
		return m
	}
	m.events = slices.Grow(m.events, len(lines))
	for _, line := range lines {
		m.line(line, key, now)
	}
	if n, ok := d.Events(); ok && n != int64(len(lines)) {
		m.whole(deadletter.ReasonGroupCount, fmt.Sprintf("the header %s says %d, and there are %d lines", broker.HeaderEvents, n, len(lines)))
	}
	return m
}

// line reads one event.
func (m *message) line(line []byte, key event.Key, now time.Time) {
	e, err := key.ParseWire(line, now)
	if err == nil {
		m.events = append(m.events, e)
		return
	}
	letter := deadletter.Letter{
		Body:        line,
		ContentType: broker.ContentEvent,
		MessageID:   m.MessageID,
		Type:        m.Type,
		Reason:      event.ReasonInvalidEvent,
		Detail:      err.Error(),
		Carried:     m.Headers,
	}
	if !m.IsGroup() {
		letter.ContentType = m.ContentType
	}
	if wire := new(event.WireError); errors.As(err, &wire) {
		letter.Reason, letter.Detail, letter.ID = wire.Reason, wire.Detail, wire.ID
	}
	m.letters = append(m.letters, letter)
}

// whole makes a letter of the message as it came.
func (m *message) whole(reason, detail string) {
	m.letters = append(m.letters, deadletter.Letter{
		Body:        m.Body,
		ContentType: m.ContentType,
		MessageID:   m.MessageID,
		Type:        m.Type,
		Reason:      reason,
		Detail:      detail,
		Carried:     m.Headers,
	})
}
