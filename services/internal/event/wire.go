package event

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// Bounds of an id on the queue, which the consumer does not trust. The future starts an hour ahead,
// so that no difference of clocks dead-letters an event.
var firstIDTime = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

const wireAhead = time.Hour

// AppendWire appends the queue's JSON of e to dst: the five members of the Python service first,
// then those that came later. It is one line, without its end. An event without a session has no
// session_id.
func AppendWire(dst []byte, e *Event) []byte {
	dst = append(dst, '{')
	if e.Source == nil {
		dst = append(dst, `"session_id":`...)
		dst = strconv.AppendInt(dst, e.SessionID, 10)
		dst = append(dst, ',')
	}
	dst = append(dst, `"event_type":`...)
	dst = appendQuote(dst, e.Type)
	dst = append(dst, `,"payload":`...)
	dst = append(dst, e.Payload...)
	dst = append(dst, `,"timestamp":"`...)
	dst = AppendTime(dst, e.Timestamp, pythonUTC)
	dst = append(dst, `","producer_timestamp":"`...)
	dst = AppendTime(dst, e.ReceivedAt, pythonUTC)
	dst = append(dst, `","event_id":"`...)
	dst = AppendID(dst, e.ID)
	dst = append(dst, '"')
	if e.Username != "" {
		dst = append(dst, `,"username":`...)
		dst = appendQuote(dst, e.Username)
	}
	if e.ReceivedFrom != "" {
		dst = append(dst, `,"received_from":`...)
		dst = appendQuote(dst, e.ReceivedFrom)
	}
	if e.TraceParent != "" {
		dst = append(dst, `,"traceparent":"`...)
		dst = append(dst, e.TraceParent...)
		dst = append(dst, '"')
	}
	if e.Source != nil {
		dst = appendSource(dst, e.Source)
	}
	return append(dst, '}')
}

// appendQuote quotes s, which is valid UTF-8 as all text of an Event is.
func appendQuote(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// ParseWire is [Key.ParseWire] without a key.
func ParseWire(line []byte, now time.Time) (Event, error) { return Key{}.ParseWire(line, now) }

// ParseWire reads an event from the queue, written by [AppendWire] or by the Python service. The
// latter has no event_id and gets one that is derived from its producer_timestamp and its bytes.
// now bounds the id. The error is a *WireError. The event may alias line, which stays as it is.
//
// Of an event with a source, what is longer than its column is cut, and the whole is in the
// payload's member _trailpost: nobody would correct a foreign record.
func (k Key) ParseWire(line []byte, now time.Time) (Event, error) {
	m, err := wireMembers(ownBreaks(line))
	if err != nil {
		return Event{}, err
	}
	var f faults
	var e Event
	f.wireTime(&m, &e)
	id, plain, idErr := k.wireID(&f, &m, &e, line, now)
	e.ID, e.PlainID = id, plain
	if m.eventID == nil {
		e.Raw = line
	}
	e.Source = f.source(&m)
	f.common(&m, &e)
	f.sender(&m, &e)
	if len(f) > 0 {
		return Event{}, &WireError{Reason: ReasonInvalidEvent, Detail: (&InvalidError{Errors: f}).Error(), ID: id}
	}
	if idErr != nil {
		return Event{}, &WireError{Reason: ReasonInvalidID, Detail: idErr.Error(), ID: id}
	}
	if e.Timestamp.IsZero() {
		e.Timestamp = IDTime(e.ID)
	}
	if e.ReceivedAt.IsZero() {
		e.ReceivedAt = IDTime(e.ID)
	}
	e.TraceParent = wireTrace(&m)
	return e, nil
}

// ownBreaks returns line, or a copy of it if it has line breaks: reading turns those of a payload
// into spaces, and an id may be derived from the line's bytes. The producer's lines have none.
func ownBreaks(line []byte) []byte {
	if bytes.IndexByte(line, '\n') < 0 && bytes.IndexByte(line, '\r') < 0 {
		return line
	}
	return bytes.Clone(line)
}

// wireMembers is readMembers with a *WireError.
func wireMembers(line []byte) (members, error) {
	m, err := readMembers(line)
	if err == nil {
		return m, nil
	}
	reason := ReasonInvalidEvent
	if syntax := new(SyntaxError); errors.As(err, &syntax) {
		reason = ReasonInvalidJSON
	}
	return m, &WireError{Reason: reason, Detail: err.Error()}
}

// wireTrace returns the traceparent; "" where there is none.
func wireTrace(m *members) string {
	if m.traceParent == nil {
		return ""
	}
	s, ok := new(faults).text("traceparent", m.traceParent)
	if !ok {
		return ""
	}
	return traceParent(string(s))
}

// wireTime reads the time of receipt, by the producer's clock.
func (f *faults) wireTime(m *members, e *Event) {
	if m.producerTimestamp == nil {
		return
	}
	s, ok := f.text("producer_timestamp", m.producerTimestamp)
	if !ok {
		return
	}
	t, err := parseTimestamp(s)
	if err != nil {
		f.add("producer_timestamp", err.Error())
		return
	}
	e.ReceivedAt = t
}

// sender reads the name of the API key with which the event was sent.
func (f *faults) sender(m *members, e *Event) {
	if m.receivedFrom == nil {
		return
	}
	s, ok := f.text("received_from", m.receivedFrom)
	if !ok {
		return
	}
	if n := utf8.RuneCount(s); n < 1 || n > MaxSenderChars {
		f.add("received_from", "must have 1 to 64 characters")
	}
	e.ReceivedFrom = string(s)
}

// wireID returns the event's id, given or derived, and beside an id that was derived under a key
// the plain one.
func (k Key) wireID(f *faults, m *members, e *Event, line []byte, now time.Time) (id, plain uuid.UUID, err error) {
	if m.eventID != nil {
		s, ok := new(faults).text("event_id", m.eventID)
		if !ok {
			return uuid.Nil, uuid.Nil, errNotV7
		}
		if id, err = parseID(s); err != nil {
			return uuid.Nil, uuid.Nil, err
		}
	} else {
		at := wireStandIn(m, e)
		if at.IsZero() {
			f.add("event_id", "is missing, and so is the producer_timestamp that could stand in for it")
			return uuid.Nil, uuid.Nil, nil
		}
		if at.Before(firstIDTime) {
			return uuid.Nil, uuid.Nil, fmt.Errorf("there is no event_id, and its stand-in is from %s, before 2020", at.Format(time.RFC3339))
		}
		id, plain = k.derivedIDs(at, line)
	}
	return id, plain, idTimeFault(IDTime(id), now)
}

// wireStandIn returns the time that stands in for an id's: the producer's, or else the event's own;
// zero where neither is known.
func wireStandIn(m *members, e *Event) time.Time {
	if !e.ReceivedAt.IsZero() || m.timestamp == nil {
		return e.ReceivedAt
	}
	s, ok := new(faults).text("timestamp", m.timestamp)
	if !ok {
		return time.Time{}
	}
	at, _ := parseTimestamp(s)
	return at
}

// idTimeFault says why a time can't be an id's, by a clock that says now.
func idTimeFault(at, now time.Time) error {
	if at.Before(firstIDTime) {
		return fmt.Errorf("is from %s, before 2020", at.Format(time.RFC3339))
	}
	if at.After(now.Add(wireAhead)) {
		return fmt.Errorf("is from %s, in the future", at.Format(time.RFC3339))
	}
	return nil
}
