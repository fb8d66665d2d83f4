package event_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/event"
)

// sameEvents reports whether two readings are of the same events. An id that was minted
// differs each time, and so does the time that it stands in for.
func sameEvents(a, b event.Event) bool {
	return a.SessionID == b.SessionID && a.Type == b.Type && a.Username == b.Username && bytes.Equal(a.Payload, b.Payload)
}

// FuzzBatch: a batch is what its events are one by one, written as lines or as an
// array. It is refused when one of them is, and that one is named.
func FuzzBatch(f *testing.F) {
	for _, seed := range []string{
		"{\"session_id\":1,\"event_type\":\"t\"}\n\n{\"session_id\":2,\"event_type\":\"u\",\"payload\":{\"a\":[]}}\r\n",
		"{\"session_id\":1,\"event_type\":\"t\"}\n{\"session_id\":0}\n{",
		`[{"session_id":1,"event_type":"t"} , {"session_id":2,"event_type":"u","x":1}]`,
		`[{"session_id":1,"event_type":"t"},[],null,{"payload":{"a":1,"a":1}}]`,
		`[]`,
		"\xef\xbb\xbf[]",
	} {
		f.Add([]byte(seed))
	}
	p := &event.Parser{}
	f.Fuzz(func(t *testing.T, body []byte) {
		fromArray, _, err := p.ParseArray(slices.Clone(body), event.Origin{})
		if err != nil {
			checkRefusal(t, err)
		} else {
			checkArray(t, p, body, fromArray)
		}
		fromLines, _, err := p.ParseLines(slices.Clone(body), event.Origin{})
		if err != nil {
			checkRefusal(t, err)
		}
		checkLines(t, p, body, fromLines, err)
	})
}

// checkArray: an array that is accepted is the array of its events' texts.
func checkArray(t *testing.T, p *event.Parser, body []byte, got []event.Event) {
	t.Helper()
	if len(got) == 0 || len(got) > event.MaxBatchEvents {
		t.Fatalf("%d events", len(got))
	}
	var lines [][]byte
	for i := range got {
		lines = append(lines, event.AppendWire(nil, &got[i]))
	}
	array := slices.Concat([]byte("["), bytes.Join(lines, []byte(",")), []byte("]"))
	again, _, err := p.ParseArray(array, event.Origin{})
	if err != nil {
		t.Fatalf("what was read of %q can't be written: %v", body, err)
	}
	if !slices.EqualFunc(got, again, sameEvents) {
		t.Fatalf("read %+v, and then %+v", got, again)
	}
}

// checkLines: lines that are accepted are each accepted alone; of lines that are
// refused, exactly those are named that are refused alone or repeat an id.
func checkLines(t *testing.T, p *event.Parser, body []byte, got []event.Event, err error) {
	t.Helper()
	named := map[int]bool{}
	if invalid, ok := errors.AsType[*event.InvalidError](err); ok {
		for _, fault := range invalid.Errors {
			switch {
			case fault.Index == nil:
				return // of the batch as a whole
			case fault.Field == "event_id" && strings.HasPrefix(fault.Message, "is also that of"):
				return
			}
			named[*fault.Index] = true
		}
	}
	i := 0
	for line := range bytes.Lines(body) {
		if line = bytes.Trim(line, " \t\r\n"); len(line) == 0 {
			continue
		}
		alone, _, lineErr := p.Parse(slices.Clone(line), event.Origin{})
		if named[i] != (lineErr != nil) {
			t.Fatalf("line %d, %q: alone %v, in the batch %v", i, line, lineErr, err)
		}
		if err == nil && !sameEvents(alone, got[i]) {
			t.Fatalf("line %d is %+v alone, %+v in the batch", i, alone, got[i])
		}
		i++
	}
	if err == nil && i != len(got) {
		t.Fatalf("%d events of %d lines", len(got), i)
	}
}

// FuzzTraceParent: what an event carries is a traceparent of fixed form, or
// nothing, and the queue brings it as it was.
func FuzzTraceParent(f *testing.F) {
	for _, seed := range []string{
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what the future will be like",
	} {
		f.Add(seed)
	}
	p := new(event.Parser)
	f.Fuzz(func(t *testing.T, s string) {
		e, _, err := p.Parse([]byte(`{"session_id":1,"event_type":"t"}`), event.Origin{TraceParent: s})
		if err != nil {
			t.Fatalf("a header refuses an event: %v", err)
		}
		if e.TraceParent != "" && e.TraceParent != s || e.TraceParent != "" && len(e.TraceParent) != 55 || strings.Trim(e.TraceParent, "0123456789abcdef-") != "" {
			t.Fatalf("%q became %q", s, e.TraceParent)
		}
		back, err := event.ParseWire(event.AppendWire(nil, &e), e.ReceivedAt)
		if err != nil || back.TraceParent != e.TraceParent {
			t.Fatalf("%q came back as %q, %v", e.TraceParent, back.TraceParent, err)
		}
	})
}
