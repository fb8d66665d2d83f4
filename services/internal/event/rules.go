package event

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/trailpost/trailpost/services/internal/event/jsonb"
)

// faults collects what is wrong with one event.
type faults []FieldError

func (f *faults) add(field, message string) {
	*f = append(*f, FieldError{Field: field, Message: message})
}

// common reads the members for which clients and the queue have the same rules. An event with a
// source, which only the queue has, may have a username of one character, has no session, and is
// cut where it is too long.
func (f *faults) common(m *members, e *Event) {
	switch {
	case e.Source != nil:
		if m.sessionID != nil {
			f.add("session_id", "must be absent where there is a source")
		}
	case m.sessionID == nil:
		f.add("session_id", "is required")
	default:
		n, ok := sessionID(m.sessionID)
		if !ok {
			f.add("session_id", "must be a whole number from 1 to 9223372036854775807")
		}
		e.SessionID = n
	}

	var cut cuts
	if m.eventType == nil {
		f.add("event_type", "is required")
	} else if s, ok := f.text("event_type", m.eventType); ok {
		if e.Source != nil {
			s = cut.to(MaxTypeChars, "event_type", s)
		}
		if n := utf8.RuneCount(s); n < 1 || n > MaxTypeChars {
			f.add("event_type", "must have 1 to 100 characters")
		}
		e.Type = string(s)
	}

	if m.username != nil {
		if s, ok := f.text("username", m.username); ok {
			if e.Source != nil {
				s = cut.to(MaxUsernameChars, "username", s)
			} else if n := utf8.RuneCount(s); n < MinUsernameChars || n > MaxUsernameChars {
				f.add("username", "must have 3 to 255 characters")
			}
			e.Username = string(s)
		}
	}

	switch {
	case m.payload == nil:
		e.Payload = []byte("{}")
	case m.payload[0] != '{':
		f.add("payload", "must be a JSON object")
	default:
		if err := jsonb.Check(m.payload); err != nil {
			f.add("payload", err.Error())
		}
		e.Payload = m.payload
	}
	if e.Source != nil && len(*f) == 0 {
		e.Source.Name = string(cut.to(MaxSourceChars, "source", []byte(e.Source.Name)))
		e.Source.ID = string(cut.to(MaxSourceChars, "source_id", []byte(e.Source.ID)))
		e.Payload = cut.keepIn(e.Payload)
	}

	if m.timestamp != nil {
		if s, ok := f.text("timestamp", m.timestamp); ok {
			t, err := parseTimestamp(s)
			if err != nil {
				f.add("timestamp", err.Error())
			}
			e.Timestamp = t
		}
	}
}

// text reads a JSON string that becomes a PostgreSQL text. It may alias raw.
func (f *faults) text(field string, raw []byte) ([]byte, bool) {
	if raw[0] != '"' {
		f.add(field, "must be a string")
		return nil, false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], true // only an escape can hide what is refused
	}
	if _, err := jsonb.CheckString(raw, 0); err != nil {
		f.add(field, err.Error())
		return nil, false
	}
	plain, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		f.add(field, "must be a string")
		return nil, false
	}
	return plain, true
}

// sessionID reads a session's number; false where it is not from 1 to 2^63-1. As the Python service
// did (pydantic reads integers so), it takes a string of digits, too, and a number that is whole
// however it is written (123.0, 1e3).
func sessionID(raw []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	switch {
	case err == nil:
	case raw[0] == '"':
		n, err = digits(raw)
	case jsontext.Value(raw).Kind() == '0':
		n, err = whole(raw)
	}
	return n, err == nil && n > 0
}

// digits reads a JSON string.
func digits(raw []byte) (int64, error) {
	plain, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(plain), 10, 63) // it takes no sign
	return int64(n), err
}

// whole reads a JSON number to its last digit, which a float would not.
func whole(raw []byte) (int64, error) {
	digits, exponent, err := jsonb.Decimal(raw)
	if err != nil || exponent < 0 || exponent > 18 { // a fraction; or, with a digit before, more than 63 bits
		return 0, strconv.ErrRange
	}
	n, err := strconv.ParseUint(string(digits)+strings.Repeat("0", exponent), 10, 63)
	return int64(n), err
}

// traceParentForm is version 00 of W3C Trace Context, in the form of which later versions stay
// readable. Only the form is checked, since an event carries the text as it came; what the ids
// mean, and that version ff has no meaning, is for package tracing to judge, which event does not
// know.
var traceParentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// traceParent returns s if it has the form of a traceparent. Anything else is dropped, as the
// specification demands.
func traceParent(s string) string {
	if len(s) != 55 || !traceParentForm.MatchString(s) {
		return ""
	}
	return s
}

// Truncate shortens s to at most n bytes, at a character's edge.
func Truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
