package event

import (
	"bytes"
	"regexp"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// faults collects what is wrong with one event.
type faults []FieldError

func (f *faults) add(field, message string) {
	*f = append(*f, FieldError{Field: field, Message: message})
}

// common reads the members for which clients and the queue have the same rules.
func (f *faults) common(m *members, e *Event) {
	if m.sessionID == nil {
		f.add("session_id", "is required")
	} else if n, ok := sessionID(m.sessionID); !ok {
		f.add("session_id", "must be a whole number from 1 to 9223372036854775807")
	} else {
		e.SessionID = n
	}

	if m.eventType == nil {
		f.add("event_type", "is required")
	} else if s, ok := f.text("event_type", m.eventType); ok {
		if n := utf8.RuneCount(s); n < 1 || n > MaxTypeChars {
			f.add("event_type", "must have 1 to 100 characters")
		}
		e.Type = string(s)
	}

	if m.username != nil {
		if s, ok := f.text("username", m.username); ok {
			if n := utf8.RuneCount(s); n < MinUsernameChars || n > MaxUsernameChars {
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
		if err := scan(m.payload); err != nil {
			f.add("payload", err.Error())
		}
		e.Payload = m.payload
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
	if _, err := scanString(raw, 0); err != nil {
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

// traceParentForm is version 00 of W3C Trace Context, which later versions
// must stay readable as.
var traceParentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// traceParent returns s if it is a traceparent; anything else is dropped, as
// the specification says.
func traceParent(s string) string {
	if len(s) != 55 || !traceParentForm.MatchString(s) {
		return ""
	}
	return s
}
