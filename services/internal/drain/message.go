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

// aloneAfter is how often a message may come back before it is processed alone, so that one that
// crashes its consumer does not take its neighbours past the delivery limit.
const aloneAfter = 2

// message is a delivery with its parsed events.
type message struct {
	broker.Delivery
	events  []event.Event
	letters []deadletter.Letter // what could not be read
}

func (m *message) count() int { return len(m.events) + len(m.letters) }

// mayBeStored reports whether events of the message may be in the trail already: it is a
// redelivery, or a replay of what was delivered once.
func (m *message) mayBeStored() bool {
	_, replayed := m.Headers[deadletter.HeaderReplays]
	return m.Redelivered || replayed
}

// alone reports whether the message must have a batch to itself.
func (m *message) alone() bool { return m.Returns >= aloneAfter }

// read parses a delivery. Everything in it becomes an event or part of a letter. The events are in
// buffer if they fit (see [eventBuffers]).
func read(d broker.Delivery, key event.Key, now time.Time, buffer []event.Event) message {
	m := message{Delivery: d, events: buffer[:0]}
	if !d.IsGroup() {
		m.readLine(d.Body, key, now)
		return m
	}
	lines, err := d.Lines()
	if err != nil {
		m.addWhole(deadletter.ReasonGroupTooLarge, err.Error())
		return m
	}
	if len(lines) == 0 {
		m.addWhole(deadletter.ReasonEmptyGroup, "a group without a line")
		return m
	}
	m.events = slices.Grow(m.events, len(lines))
	for _, line := range lines {
		m.readLine(line, key, now)
	}
	if n, ok := d.Events(); ok && n != int64(len(lines)) {
		m.addWhole(deadletter.ReasonGroupCount, fmt.Sprintf("the header %s says %d, and there are %d lines", broker.HeaderEvents, n, len(lines)))
	}
	return m
}

// readLine parses one event.
func (m *message) readLine(line []byte, key event.Key, now time.Time) {
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

// addWhole adds a letter of the message as it came.
func (m *message) addWhole(reason, detail string) {
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
