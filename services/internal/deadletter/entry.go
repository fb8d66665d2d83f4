package deadletter

import (
	"errors"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
)

// Entry is one dead event: a letter, or a line of a group that the broker dead-lettered as a whole.
type Entry struct {
	EventID   string    `json:"event_id"` // "" where no id could be read
	Reason    string    `json:"reason"`   // ours, or the broker's: delivery_limit, rejected, expired, maxlen
	SQLState  string    `json:"sqlstate"` // "" unless PostgreSQL rejected the event
	FirstTime time.Time `json:"first_time"`
	LastTime  time.Time `json:"last_time"`
	EventType string    `json:"event_type"`
	SessionID int64     `json:"session_id"` // 0 where it has none
	Source    string    `json:"source,omitempty"`
	SourceID  string    `json:"source_id,omitempty"`
	Detail    string    `json:"detail"`
	Replays   int64     `json:"replays"`
	FormerID  string    `json:"former_event_id,omitempty"`
	Bytes     int       `json:"bytes"`
	Group     int       `json:"group,omitempty"` // events of the message, if it is a group

	line      []byte
	plainID   string // its id without an identity key; "" where that is EventID
	messageID string // of a letter by a consumer: another id, if that had another key
	identity  string // broker.HeaderIdentity as it came; "" where it has not that form
}

// hasID reports whether id is one of the event's ids: under the key, without a key, or in the
// letter.
func (e *Entry) hasID(id string) bool {
	return id == e.EventID || id == e.plainID || id == e.messageID
}

// entries parses a message of the dead-letter queue.
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
		if d.Header(HeaderReason) != "" { // otherwise the sender chose it, which may be any id
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
	if name := d.Header(broker.HeaderIdentity); isIdentity(name) {
		e.identity = name
	}
	e.Replays, _ = d.Headers[HeaderReplays].(int64)
	e.FirstTime, _ = time.Parse(time.RFC3339, d.Header(HeaderFirst))
	e.LastTime, _ = time.Parse(time.RFC3339, d.Header(HeaderLast))
	if e.Reason == "" {
		e.readDeath(d)
	}
	return e
}

// readDeath reads what the broker writes into a message that it dead-letters itself:
// https://www.rabbitmq.com/docs/dlx#effects
func (e *Entry) readDeath(d *broker.Delivery) {
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

// read parses the event itself, as far as it can be parsed.
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
	if read.Source != nil {
		e.Source, e.SourceID = read.Source.Name, read.Source.ID
	}
	if read.PlainID != uuid.Nil {
		e.plainID = read.PlainID.String()
	}
}
