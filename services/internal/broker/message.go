package broker

import (
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.opentelemetry.io/otel/trace"

	"github.com/trailpost/trailpost/services/internal/event"
)

// Content types of a message's body. Only the second is split into lines.
const (
	ContentEvent = "application/json"
	ContentGroup = "application/x-ndjson"
)

// HeaderEvents says how many events a message carries.
const HeaderEvents = "events"

// appID is the app_id of all messages of ours.
const appID = "trailpost"

// maxShortString is AMQP's limit of a short string, bytes.
const maxShortString = 255

// item is an event on its way: its wire form and what the message's
// properties tell of it.
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

// publishing is the message of one event or a group. buf is scratch for a
// group's body; the client library has written it out when Publish returns.
func publishing(items []item, buf []byte, now time.Time) (amqp.Publishing, []byte) {
	p := amqp.Publishing{
		DeliveryMode: amqp.Persistent,
		Timestamp:    now,
		AppId:        appID,
		Headers:      amqp.Table{HeaderEvents: int32(len(items))}, //nolint:gosec // at most EventsPerMessage
	}
	if len(items) == 1 {
		p.ContentType = ContentEvent
		p.MessageId = items[0].id.String()
		p.Type = shortString(items[0].eventType)
		p.Body = items[0].line
		return p, buf
	}
	buf = buf[:0]
	for i, it := range items {
		if i > 0 {
			buf = append(buf, '\n')
		}
		buf = append(buf, it.line...)
	}
	p.ContentType = ContentGroup
	p.Body = buf
	return p, buf
}

// shortString cuts s to what AMQP can carry, at a character's edge. The
// body has it whole.
func shortString(s string) string {
	if len(s) <= maxShortString {
		return s
	}
	n := maxShortString
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
