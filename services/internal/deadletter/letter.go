package deadletter

import (
	"encoding/hex"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
)

// Headers of a dead letter. The body is the event as it was received.
const (
	HeaderReason   = "x-trailpost-reason"
	HeaderDetail   = "x-trailpost-detail"
	HeaderSQLState = "x-trailpost-sqlstate"
	HeaderFirst    = "x-trailpost-first-time" // when it first became a dead letter
	HeaderLast     = "x-trailpost-last-time"  // when it last did
	HeaderReplays  = "x-trailpost-replays"    // how often it was put back on the queue
	HeaderFormerID = "x-trailpost-former-event-id"
)

// Reasons why the consumer makes a dead letter, beside those of package event for what can't be
// read.
const (
	ReasonIDReused      = "event_id_reused"      // the id is stored with other content
	ReasonRejected      = "rejected_by_database" // store.Rejected: SQLSTATE 22, 23502, 23514, 54
	ReasonGroupTooLarge = "group_too_large"      // more lines or bytes than a group may have
	ReasonGroupCount    = "group_count"          // the header events and the lines disagree; what can be read is stored
	ReasonEmptyGroup    = "empty_group"          // a group without a line

	ReasonKeyWithoutEvent = "event_key_without_event" // its key is kept for an event that is nowhere
)

// maxDetail is how many bytes HeaderDetail may have.
const maxDetail = 1000

// timeLayout is the layout of the headers' times, RFC 3339 in microseconds.
const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// contentTypeUnknown is for a letter whose message had no content type.
const contentTypeUnknown = "application/octet-stream"

// Letter is an event, or a message, that can't be stored.
type Letter struct {
	Body        []byte
	ContentType string
	ID          uuid.UUID // uuid.Nil where it is not known
	MessageID   string    // of the message that brought it, where ID is not known
	Type        string    // event type, where known
	Reason      string
	Detail      string
	SQLState    string // "" unless PostgreSQL rejected it
	Trace       string // W3C traceparent, for the log
	// Carried are the headers of the message that brought it: a letter that was replayed keeps its
	// first time.
	Carried map[string]any
}

// Message returns the letter as a message for the dead-letter queue.
func (l *Letter) Message(now time.Time) broker.Message {
	stamp := now.UTC().Format(timeLayout)
	headers := map[string]any{
		HeaderReason: l.Reason,
		HeaderDetail: event.Truncate(l.Detail, maxDetail),
		HeaderFirst:  stamp,
		HeaderLast:   stamp,
	}
	if l.SQLState != "" {
		headers[HeaderSQLState] = l.SQLState
	}
	for name, isOurs := range carriedHeaders {
		if value, ok := l.Carried[name]; ok && isOurs(value) {
			headers[name] = value
		}
	}
	m := broker.Message{Body: l.Body, ContentType: l.ContentType, MessageID: l.MessageID, Type: l.Type, Headers: headers}
	if l.ID != uuid.Nil {
		m.MessageID = l.ID.String()
	}
	if m.ContentType == "" {
		m.ContentType = contentTypeUnknown
	}
	return m
}

// carriedHeaders are the headers that a replayed event brings back. Each function reports whether a
// value is one that [Replay] writes. Anybody who may publish can put anything there: headers that
// fill a frame would make a letter that no client can read, nor the letters behind it.
var carriedHeaders = map[string]func(any) bool{
	HeaderFirst: func(value any) bool {
		text, _ := value.(string)
		_, err := time.Parse(timeLayout, text)
		return err == nil
	},
	HeaderReplays: func(value any) bool {
		_, ok := value.(int64)
		return ok
	},
	HeaderFormerID: func(value any) bool {
		text, _ := value.(string)
		return uuid.Validate(text) == nil
	},
	broker.HeaderIdentity: func(value any) bool {
		text, _ := value.(string)
		return isIdentity(text)
	},
}

// IsReplay reports whether a message of the queue was a dead letter before.
func IsReplay(d *broker.Delivery) bool {
	n, ok := d.Headers[HeaderReplays].(int64)
	return ok && n > 0
}

// isIdentity reports whether text has the form of an identity key's name.
func isIdentity(text string) bool {
	name, err := hex.DecodeString(text)
	return err == nil && len(name) == 4
}
