package deadletter

import (
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// Headers of a dead letter. The body is the event as it came.
const (
	HeaderReason   = "x-trailpost-reason"
	HeaderDetail   = "x-trailpost-detail"
	HeaderSQLState = "x-trailpost-sqlstate"
	HeaderFirst    = "x-trailpost-first-time" // RFC 3339: when it first became a dead letter
	HeaderLast     = "x-trailpost-last-time"  // RFC 3339: when it last did
	HeaderReplays  = "x-trailpost-replays"    // how often it was put back on the queue
	HeaderFormerID = "x-trailpost-former-event-id"
)

// Reasons of the consumer's, beside package event's for what can't be read.
const (
	ReasonIDReused       = "event_id_reused"      // the id is stored with other content
	ReasonRejected        = "rejected_by_database" // a data error: SQLSTATE 22, 23502, 23514, 54
	ReasonGroupTooLarge  = "group_too_large"      // more lines or bytes than a group may have
	ReasonGroupCount     = "group_count"          // the header events and the lines disagree; what can be read is stored
	ReasonEmptyGroup     = "empty_group"          // a group without a line
	maxDetail            = 1000                   // bytes of HeaderDetail
	timeForm             = "2006-01-02T15:04:05.000000Z07:00"
	contentTypeUndefined = "application/octet-stream"
)

// Letter is an event, or a message, that can't be stored.
type Letter struct {
	Body        []byte
	ContentType string
	ID          uuid.UUID // uuid.Nil where it is not known
	MessageID   string    // of the message that brought it, where ID is not known
	Type        string    // event type, where known
	Reason      string
	Detail      string
	SQLState    string // "" unless PostgreSQL refused it
	Trace       string // W3C traceparent, for the log
	// Carried are the headers of the message that brought it: a letter
	// that was replayed keeps its first time.
	Carried map[string]any
}

// Message is the letter as it goes to the dead-letter queue.
func (l *Letter) Message(now time.Time) broker.Message {
	stamp := now.UTC().Format(timeForm)
	headers := map[string]any{
		HeaderReason: l.Reason,
		HeaderDetail: truncate(l.Detail, maxDetail),
		HeaderFirst:  stamp,
		HeaderLast:   stamp,
	}
	if l.SQLState != "" {
		headers[HeaderSQLState] = l.SQLState
	}
	for name, ours := range carriedForms {
		if value, ok := l.Carried[name]; ok && ours(value) {
			headers[name] = value
		}
	}
	m := broker.Message{Body: l.Body, ContentType: l.ContentType, MessageID: l.MessageID, Type: l.Type, Headers: headers}
	if l.ID != uuid.Nil {
		m.MessageID = l.ID.String()
	}
	if m.ContentType == "" {
		m.ContentType = contentTypeUndefined
	}
	return m
}

// carriedForms are the headers that a replayed event brings back, and whether a value is
// one that [Replay] wrote. Anybody who may publish can put anything there: headers that
// fill a frame would make a letter that no client can read, nor what stands behind it.
var carriedForms = map[string]func(any) bool{
	HeaderFirst: func(value any) bool {
		text, _ := value.(string)
		_, err := time.Parse(timeForm, text)
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
}

// IsReplay reports whether a message of the queue was a dead letter before.
func IsReplay(d *broker.Delivery) bool {
	n, ok := d.Headers[HeaderReplays].(int64)
	return ok && n > 0
}

// truncate shortens s to at most n bytes, at a character's edge.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
