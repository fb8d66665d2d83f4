package publish

import (
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
)

// item is an event on its way: its wire form and what the message's properties tell of it.
type item struct {
	line      []byte
	id        uuid.UUID
	eventType string
	index     int        // among those of its request
	span      trace.Span // of its request; nil when nothing is traced
}

func newItem(e *event.Event) item {
	const members = 320 // bytes of the wire form beside type, username and payload
	line := make([]byte, 0, members+len(e.Type)+len(e.Username)+len(e.Payload))
	return item{line: event.AppendWire(line, e), id: e.ID, eventType: e.Type}
}

// tooLarge finds an item that is larger than the limit; 0 is none.
func tooLarge(limit int, items ...item) *broker.TooLargeError {
	if limit > 0 {
		for _, it := range items {
			if size := len(it.line); size > limit {
				return &broker.TooLargeError{Size: size, Limit: limit, Index: it.index}
			}
		}
	}
	return nil
}

// newMessage is the message of one event or a group. buf is scratch for a group's body; the client
// library has written it out when Publish returns.
func newMessage(items []item, buf []byte) (broker.Message, []byte) {
	m := broker.Message{
		ContentType: broker.ContentEvent,
		Headers:     map[string]any{broker.HeaderEvents: int32(len(items))}, //nolint:gosec // at most EventsPerMessage
	}
	if len(items) == 1 {
		m.MessageID = items[0].id.String()
		m.Type = items[0].eventType
		m.Body = items[0].line
		return m, buf
	}
	buf = buf[:0]
	for i, it := range items {
		if i > 0 {
			buf = append(buf, '\n')
		}
		buf = append(buf, it.line...)
	}
	m.ContentType = broker.ContentGroup
	m.Body = buf
	return m, buf
}
