package event_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/event"
)

// pretty is an event without an id, as a sender that indents its JSON writes it.
var pretty = strings.Replace(original, `{"k": "v"}`, "{\r\n  \"k\":\n\"v\"\r}", 1)

// Whoever keeps the line of an event without an id keeps its id: reading it is no reason for another one.
func TestReadingLeavesTheLine(t *testing.T) {
	for _, line := range []string{original, pretty, reused, strings.Replace(pretty, `"session_id": 7`, `"session_id": 0`, 1)} {
		text := []byte(line)
		first, err := identityKey.ParseWire(text, noon)
		if string(text) != line {
			t.Errorf("%q became %q (%v)", line, text, err)
		}
		again, againErr := identityKey.ParseWire(text, noon)
		if again.ID != first.ID || fmt.Sprint(againErr) != fmt.Sprint(err) || bytes.ContainsAny(first.Payload, "\r\n") {
			t.Errorf("%s, then %s; payload %q", first.ID, again.ID, first.Payload)
		}
	}
}

// An event whose id was derived comes with the bytes that it was derived from, with a key and without one.
func TestAnEventWithoutAnIDIsItsLine(t *testing.T) {
	for _, key := range []event.Key{{}, identityKey} {
		for _, line := range []string{original, pretty} {
			if e, err := key.ParseWire([]byte(line), noon); err != nil || string(e.Raw) != line {
				t.Errorf("%v: %q of %q", err, e.Raw, line)
			}
		}
		if e, err := key.ParseWire([]byte(reused), noon); err != nil || e.Raw != nil {
			t.Errorf("%v: %q beside an id that was given", err, e.Raw)
		}
	}
}

// A letter had the derived id written into it, once. Both forms get one new id.
func TestTheWrittenIDAndTheDerivedOneAreRenewedAlike(t *testing.T) {
	for _, key := range []event.Key{{}, identityKey} {
		for _, line := range []string{original, pretty, strings.Replace(pretty, `"timestamp"`, `"unknown"`, 1)} {
			e, err := key.ParseWire([]byte(line), noon)
			if err != nil {
				t.Fatal(err)
			}
			written := renew(t, key, string(event.AppendWire(nil, &e)))
			if raw := renew(t, key, line); raw.ID != written.ID || raw.FormerID != e.ID.String() || written.FormerID != raw.FormerID {
				t.Errorf("%q: %s in place of %s, and %s in place of %s", line, raw.ID, raw.FormerID, written.ID, written.FormerID)
			}
		}
	}
}
