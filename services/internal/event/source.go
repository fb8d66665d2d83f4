package event

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/trailpost/trailpost/services/internal/event/jsonb"
)

// appendSource appends the members of an event's source to an object that has some.
func appendSource(dst []byte, s *Source) []byte {
	dst = append(dst, `,"source":`...)
	dst = appendQuote(dst, s.Name)
	if s.ID != "" {
		dst = append(dst, `,"source_id":`...)
		dst = appendQuote(dst, s.ID)
	}
	if s.EventKey != nil {
		dst = append(dst, `,"event_key":"`...)
		dst = hex.AppendEncode(dst, s.EventKey)
		dst = append(dst, '"')
	}
	if s.NaturalIDIsBytes {
		dst = append(dst, `,"natural_id_is_bytes":true`...)
	}
	return dst
}

// source reads the members of an event's source; nil where there is none. What is too long is cut
// later, when all of the event is known.
func (f *faults) source(m *members) *Source {
	if m.source == nil {
		for _, other := range []struct {
			name  string
			value []byte
		}{{"source_id", m.sourceID}, {"event_key", m.eventKey}, {"natural_id_is_bytes", m.naturalIDIsBytes}} {
			if other.value != nil {
				f.add(other.name, "must be absent where there is no source")
			}
		}
		return nil
	}
	s := new(Source)
	if name, ok := f.text("source", m.source); ok {
		if len(name) == 0 {
			f.add("source", "must have 1 character or more")
		}
		s.Name = string(name)
	}
	if m.sourceID != nil {
		if id, ok := f.text("source_id", m.sourceID); ok {
			s.ID = string(id)
		}
	}
	if m.eventKey != nil {
		if text, ok := f.text("event_key", m.eventKey); ok {
			key, err := hex.DecodeString(string(text))
			if err != nil || len(key) != EventKeyBytes {
				f.add("event_key", "must have "+strconv.Itoa(2*EventKeyBytes)+" hexadecimal digits")
			}
			s.EventKey = key
		}
	}
	switch string(m.naturalIDIsBytes) {
	case "true":
		s.NaturalIDIsBytes = true
	case "", "false":
	default:
		f.add("natural_id_is_bytes", "must be true or false")
	}
	return s
}

// The members of a payload in which two attempts to send one record may differ: what no signature
// of the sender covered, and what this project notes about the record.
const (
	memberUnsigned = "unsigned"
	memberOwn      = "_trailpost"
)

// withoutUncompared returns a payload without the members that are left out when two events with a
// source are compared.
func withoutUncompared(payload []byte) []byte {
	kept := []byte{'{'}
	for _, m := range jsonb.Members(payload) {
		if m.Name == memberUnsigned || m.Name == memberOwn {
			continue
		}
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(kept, payload[m.Start:m.End]...)
	}
	return append(kept, '}')
}

// cuts are the texts of an event that were too long for their columns.
type cuts []cut

type cut struct {
	name  string
	whole []byte
}

// to returns text, or where it has more characters than that its beginning, a tilde and the first
// half of its SHA-256, which tells it from others that begin so.
func (c *cuts) to(chars int, name string, text []byte) []byte {
	if utf8.RuneCount(text) <= chars {
		return text
	}
	*c = append(*c, cut{name: name, whole: text})
	sum := sha256.Sum256(text)
	digest := sum[:sha256.Size/2]
	end := 0
	for range chars - 1 - hex.EncodedLen(len(digest)) {
		_, size := utf8.DecodeRune(text[end:])
		end += size
	}
	return hex.AppendEncode(append(slices.Clone(text[:end]), '~'), digest)
}

// keepIn returns the payload with the whole texts in its member _trailpost: in the one that is
// there, or in a new one if that is no object, or has such a name already. A new one keeps the
// former as text, which is no deeper.
func (c cuts) keepIn(payload []byte) []byte {
	if len(c) == 0 {
		return payload
	}
	var there *jsonb.Member
	members := jsonb.Members(payload)
	for i := range members {
		if members[i].Name == memberOwn {
			there = &members[i]
		}
	}
	if there == nil {
		own := append(append([]byte(`"`+memberOwn+`":{`), c.list()...), '}')
		return insertMembers(payload, len(members) > 0, own)
	}
	former := payload[there.Value:there.End]
	own := append(appendQuote([]byte(`{"`+memberOwn+`":`), string(former)), '}')
	nested := jsonb.Members(former)
	if former[0] == '{' && !slices.ContainsFunc(nested, c.has) {
		own = former
	} else {
		nested = []jsonb.Member{{}}
	}
	own = insertMembers(own, len(nested) > 0, c.list())
	return slices.Concat(payload[:there.Value], own, payload[there.End:])
}

func (c cuts) has(m jsonb.Member) bool {
	return slices.ContainsFunc(c, func(one cut) bool { return one.name == m.Name })
}

// list returns the whole texts as members.
func (c cuts) list() (members []byte) {
	for i, one := range c {
		if i > 0 {
			members = append(members, ',')
		}
		members = append(members, `"`+one.name+`":`...)
		members = appendQuote(members, string(one.whole))
	}
	return members
}

// insertMembers returns a copy of an object with more members at its end.
func insertMembers(object []byte, hasSome bool, members []byte) []byte {
	end := bytes.LastIndexByte(object, '}')
	if hasSome {
		members = append([]byte{','}, members...)
	}
	return slices.Concat(object[:end], members, object[end:])
}
