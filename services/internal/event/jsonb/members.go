package jsonb

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Member is where a member of an object is: its name, its value, and its end.
type Member struct {
	Name              string
	Start, Value, End int
}

// Members returns the members of a valid JSON object; none of another value.
func Members(object []byte) (members []Member) {
	dec := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowInvalidUTF8(true))
	if start, err := dec.ReadToken(); err != nil || start.Kind() != '{' {
		return nil
	}
	for dec.PeekKind() == '"' {
		quoted, err := dec.ReadValue()
		if err != nil {
			return nil
		}
		name, err := jsontext.AppendUnquote(nil, quoted)
		if err != nil {
			return nil
		}
		m := Member{Name: string(name), Start: int(dec.InputOffset()) - len(quoted)}
		value, err := dec.ReadValue()
		if err != nil {
			return nil
		}
		m.End = int(dec.InputOffset())
		m.Value = m.End - len(value)
		members = append(members, m)
	}
	return members
}
