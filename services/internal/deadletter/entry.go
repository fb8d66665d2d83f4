package deadletter

import (
	"errors"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
)

// Entry is one dead event: a letter, or a line of a group that the broker
// dead-lettered as one.
type Entry struct {
	EventID   string    `json:"event_id"` // "" where none could be read
	Reason    string    `json:"reason"`   // ours, or the broker's: delivery_limit, rejected, expired, maxlen
	SQLState  string    `json:"sqlstate"` // "" unless PostgreSQL refused the event
	FirstTime time.Time `json:"first_time"`
	LastTime  time.Time `json:"last_time"`
	EventType string    `json:"event_type"`
	SessionID int64     `json:"session_id"`
	Detail    string    `json:"detail"`
	Replays   int64     `json:"replays"`
	FormerID  string    `json:"former_event_id,omitempty"`
	Bytes     int       `json:"bytes"`
	Group     int       `json:"group,omitempty"` // events of the message, if it is a group

	line      []byte
	plainID   string // the id that it would have without an identity key; "" where EventID is that
	messageID string // the letter's, where a consumer wrote it: another, if its key was
}

// goesBy reports whether id is the event's: under the key, without one, or as the consumer called it that wrote the letter.
func (e *Entry) goesBy(id string) bool {
	return id == e.EventID || id == e.plainID || id == e.messageID
}

// entries takes a message of the dead-letter queue apart.
func entries(d *broker.Delivery, key event.Key, now time.Time) []Entry {
	common := commonOf(d)
	if lines, err := d.Lines(); d.IsGroup() && err == nil && len(lines) > 0 {
		all := make([]Entry, len(lines))
		for i, line := range lines {
			all[i] = common
			all[i].Group = len(lines)
			all[i].read(line, key, now)
		}
		return all
	}
	if !d.IsGroup() {
		common.EventID = d.MessageID
		common.EventType = d.Type
		if d.Header(HeaderReason) != "" { // else it is the sender's, who may name any
			common.messageID = d.MessageID
		}
	}
	common.read(d.Body, key, now)
	return []Entry{common}
}

// commonOf reads a letter's headers.
func commonOf(d *broker.Delivery) Entry {
	e := Entry{
		Reason:   d.Header(HeaderReason),
		Detail:   d.Header(HeaderDetail),
		SQLState: d.Header(HeaderSQLState),
		FormerID: d.Header(HeaderFormerID),
	}
	e.Replays, _ = d.Headers[HeaderReplays].(int64)
	e.FirstTime, _ = time.Parse(time.RFC3339, d.Header(HeaderFirst))
	e.LastTime, _ = time.Parse(time.RFC3339, d.Header(HeaderLast))
	if e.Reason == "" {
		e.byBroker(d)
	}
	return e
}

// byBroker reads what the broker writes into a message that it dead-letters
// itself: https://www.rabbitmq.com/docs/dlx#effects
func (e *Entry) byBroker(d *broker.Delivery) {
	e.Reason = "unknown"
	deaths, _ := d.Headers["x-death"].([]any)
	if len(deaths) == 0 {
		return
	}
	death, _ := deaths[0].(amqp.Table)
	if reason, ok := death["reason"].(string); ok {
		e.Reason = reason
	}
	e.Detail = "dead-lettered by the broker"
	if at, ok := death["time"].(time.Time); ok {
		e.LastTime = at.UTC()
		if e.FirstTime.IsZero() {
			e.FirstTime = at.UTC()
		}
	}
}

// read reads the event itself, as far as it can be read.
func (e *Entry) read(line []byte, key event.Key, now time.Time) {
	e.line, e.Bytes = line, len(line)
	read, err := key.ParseWire(line, now)
	if err != nil {
		if wire := new(event.WireError); errors.As(err, &wire) && wire.ID != uuid.Nil {
			e.EventID = wire.ID.String()
		}
		return
	}
	e.EventID, e.EventType, e.SessionID = read.ID.String(), read.Type, read.SessionID
	if read.PlainID != uuid.Nil {
		e.plainID = read.PlainID.String()
	}
}
