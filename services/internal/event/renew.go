package event

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event/jsonb"
)

// Renewed is an event under an id that was made for it, in place of one under which it can't be
// stored.
type Renewed struct {
	Event
	FormerID string // as it came; "" where there was none, or none that is a UUID
}

var errNoTime = errors.New("no id can be made: neither its own nor its producer_timestamp is of a time between 2020 and an hour after it died")

// Renew reads a line of the queue as [ParseWire] does, whatever its event_id is, and gives it
// another one. That is derived, never random, so that a line that is renewed twice is one event:
// HMAC-SHA-256 under the key of the former id and the parts that tell two events with one id apart
// (session_id, event_type, username, timestamp, payload, source, source_id; what producers add is
// not compared, so it is not among them). It has no EventKey, which is that of another event. Its time is the former id's or, where that can't be an id's, the
// producer_timestamp. Whether it can be is judged by died, when the event was found to be one that
// can't be stored, and not by now, so that a later try has the same result. The error is a
// *WireError or one that says why no id can be made.
func (k Key) Renew(line []byte, died, now time.Time) (Renewed, error) {
	m, err := wireMembers(ownBreaks(line))
	if err != nil {
		return Renewed{}, err
	}
	var f faults
	var r Renewed
	f.wireTime(&m, &r.Event)
	id, _, _ := k.wireID(&f, &m, &r.Event, line, now)
	former := formerID(id, m.eventID, line)
	if r.Source = f.source(&m); r.Source != nil {
		// The new id is another's than the one that these would have it be.
		r.Source.EventKey, r.Source.NaturalIDIsBytes = nil, false
	}
	f.common(&m, &r.Event)
	f.sender(&m, &r.Event)
	if len(f) > 0 {
		return Renewed{}, &WireError{Reason: ReasonInvalidEvent, Detail: (&InvalidError{Errors: f}).Error(), ID: id}
	}
	if former[0] == formerUUID {
		r.FormerID = string(former[1:])
	}

	if died.IsZero() || died.After(now) {
		died = now
	}
	at := IDTime(id)
	if id == uuid.Nil || idTimeFault(at, died) != nil {
		at = wireStandIn(&m, &r.Event)
	}
	if at.IsZero() || idTimeFault(at, died) != nil {
		return Renewed{}, errNoTime
	}
	if r.Timestamp.IsZero() {
		r.Timestamp = at.Truncate(time.Millisecond)
	}
	if r.ReceivedAt.IsZero() {
		r.ReceivedAt = at.Truncate(time.Millisecond)
	}
	r.TraceParent = wireTrace(&m)
	r.ID, err = k.renewedID(&r.Event, at, former)
	return r, err
}

// The kinds of a former id, in the first byte of what it is known by.
const (
	formerUUID = 'u' // 36 characters in small letters
	formerText = 't' // not a UUID: the text as it came
	formerNone = 'n' // there was none, nor could one be derived: the line
)

// formerID returns what the id to replace is known by. id is the event's, if it has one.
func formerID(id uuid.UUID, raw, line []byte) []byte {
	if raw != nil && id == uuid.Nil { // no UUIDv7
		if text, ok := new(faults).text("event_id", raw); ok && len(text) == 36 {
			id, _ = uuid.ParseBytes(text)
		}
	}
	switch {
	case id != uuid.Nil:
		return append([]byte{formerUUID}, id.String()...)
	case raw != nil:
		return append([]byte{formerText}, raw...)
	}
	return append([]byte{formerNone}, line...)
}

// renewedID returns the new id of e.
func (k Key) renewedID(e *Event, at time.Time, former []byte) (uuid.UUID, error) {
	payload := e.Payload
	if e.Source != nil {
		payload = withoutUncompared(payload)
	}
	payload, err := jsonb.AppendCanonical(nil, payload)
	if err != nil {
		return uuid.Nil, err
	}
	number := func(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) } //nolint:gosec // its bits
	parts := [][]byte{former, number(e.SessionID), []byte(e.Type), []byte(e.Username), number(e.Timestamp.UnixMicro()), payload}
	if e.Source != nil { // without one, ids stay those of the releases that knew none
		parts = append(parts, []byte(e.Source.Name), []byte(e.Source.ID))
	}
	return v7(at, k.sum(forRenewed, parts...)), nil
}
