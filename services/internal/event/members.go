package event

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/trailpost/trailpost/services/internal/event/jsonb"
)

// members are the raw values of an event's object, nil where absent or null. They alias the text.
type members struct {
	sessionID, eventType, payload, timestamp, eventID, username []byte
	producerTimestamp, traceParent, receivedFrom                []byte // the wire's own
	source, sourceID, eventKey, naturalIDIsBytes                []byte // …
	unknown                                                     []string
}

// strict reads JSON as RFC 7493 (I-JSON) wants it: one value, no duplicate names. Bad UTF-8 is
// refused before, and lone surrogates by scan, since both are faults of content and not of syntax.
var strict = jsontext.AllowInvalidUTF8(true)

// decoder reads the text in its buffer where it is.
type decoder struct {
	jsontext.Decoder
	text bytes.Buffer
}

// decoders are used again: an event is small, and a decoder has to grow first.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

// readMembers reads text, which must be one object. The error is an *InvalidError or a
// *SyntaxError.
func readMembers(text []byte) (m members, err error) {
	if !utf8.Valid(text) {
		return m, invalidBody("must be UTF-8")
	}
	dec := decoders.Get().(*decoder) //nolint:errcheck // New makes nothing else
	defer decoders.Put(dec)
	dec.text = *bytes.NewBuffer(text)
	dec.Reset(&dec.text, strict)
	if kind := dec.PeekKind(); kind != '{' {
		if _, err := dec.ReadValue(); err != nil {
			return m, asFault(err, text)
		}
		return m, invalidBody("must be a JSON object")
	}
	if _, err := dec.ReadToken(); err != nil {
		return m, asFault(err, text)
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadValue()
		if err != nil {
			return m, asFault(err, text)
		}
		field := m.field(name)
		value, err := dec.ReadValue()
		if err != nil {
			return m, asFault(err, text)
		}
		if field != nil && value.Kind() != 'n' {
			// The decoder promises its bytes until the next read only;
			// the same bytes in our own text stay.
			end := dec.InputOffset()
			*field = text[end-int64(len(value)) : end : end]
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return m, asFault(err, text)
	}
	if kind := dec.PeekKind(); kind == '{' {
		return m, invalidBody("must be one JSON object; several, an event a line (NDJSON), go to /log/batch as application/x-ndjson")
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return m, invalidBody("must end after the JSON object")
	}
	return m, nil
}

// field returns where the value of a quoted name belongs; nil for a name that is not ours.
func (m *members) field(name jsontext.Value) *[]byte {
	switch string(name) {
	case `"session_id"`:
		return &m.sessionID
	case `"event_type"`:
		return &m.eventType
	case `"payload"`:
		return &m.payload
	case `"timestamp"`:
		return &m.timestamp
	case `"event_id"`:
		return &m.eventID
	case `"username"`:
		return &m.username
	case `"producer_timestamp"`:
		return &m.producerTimestamp
	case `"traceparent"`:
		return &m.traceParent
	case `"received_from"`:
		return &m.receivedFrom
	case `"source"`:
		return &m.source
	case `"source_id"`:
		return &m.sourceID
	case `"event_key"`:
		return &m.eventKey
	case `"natural_id_is_bytes"`:
		return &m.naturalIDIsBytes
	}
	plain, err := jsontext.AppendUnquote(nil, name)
	if err != nil {
		plain = name
	}
	// A known name that was written with escapes is still that name.
	if bytes.IndexByte(name, '\\') >= 0 {
		if quoted, err := jsontext.AppendQuote(nil, plain); err == nil && !bytes.Equal(quoted, name) {
			return m.field(quoted)
		}
	}
	m.unknown = append(m.unknown, string(plain))
	return nil
}

// MaxIgnored is how many ignored members are listed: enough to see the mistake.
const MaxIgnored = 20

// ignored lists the members that clients have no business with: unknown ones, and those that only
// the queue's form has.
func (m *members) ignored() []string {
	names := m.unknown
	for _, own := range []struct {
		name  string
		value []byte
	}{
		{"producer_timestamp", m.producerTimestamp},
		{"traceparent", m.traceParent},
		{"received_from", m.receivedFrom},
		{"source", m.source},
		{"source_id", m.sourceID},
		{"event_key", m.eventKey},
		{"natural_id_is_bytes", m.naturalIDIsBytes},
	} {
		if own.value != nil {
			names = append(names, own.name)
		}
	}
	return names[:min(len(names), MaxIgnored)]
}

// asFault turns the decoder's error into ours.
func asFault(err error, text []byte) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		var syntactic *jsontext.SyntacticError
		errors.As(err, &syntactic)
		return invalidBody("must not name %q twice in one object", Truncate(syntactic.JSONPointer.LastToken(), 100))
	}
	if jsonb.TooDeep(text) {
		return invalidBody("%v", jsonb.ErrDepth)
	}
	fault := &SyntaxError{Err: err}
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.As(err, &syntactic):
		fault.Offset, fault.Err = syntactic.ByteOffset, syntactic.Err
	case errors.Is(err, io.EOF):
		fault.Offset, fault.Err = int64(len(text)), io.ErrUnexpectedEOF
	}
	return fault
}
