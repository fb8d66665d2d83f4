package drain

import (
	"bytes"
	"slices"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
)

// FuzzRead: whatever a message is, all of it ends as events or in letters with a
// reason, and what is read again is the same.
func FuzzRead(f *testing.F) {
	valid := string(delivery(1, 1, 0).Body)
	f.Add([]byte(valid), broker.ContentEvent, int64(1), true)
	f.Add([]byte(valid+"\n"+valid), broker.ContentGroup, int64(2), true)
	f.Add([]byte(valid+"\r\n\r\nnot JSON"), "Application/X-NDJSON; charset=utf-8", int64(-1), true)
	f.Add([]byte("\n \n"), broker.ContentGroup, int64(0), false)
	f.Add([]byte(`{"session_id":1,"event_type":"t","producer_timestamp":"2026-11-24T11:59:01"}`), "", int64(0), false)
	f.Add([]byte{}, "text/plain", int64(9), true)
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte, contentType string, events int64, counted bool) {
		d := broker.Delivery{Tag: 1, ContentType: contentType}
		if counted {
			d.Headers = map[string]any{broker.HeaderEvents: events}
		}
		d.Body = slices.Clone(body)
		m := read(d, event.Key{}, now, nil)
		if m.count() == 0 {
			t.Fatal("nothing came of it")
		}
		for i := range m.letters {
			checkLetter(t, &m.letters[i], now)
		}
		for i := range m.events {
			if e := &m.events[i]; e.ID.Version() != 7 || e.SessionID < 1 || len(e.Payload) == 0 || event.IDTime(e.ID).After(now.Add(time.Hour)) {
				t.Fatalf("read %+v", e)
			}
		}
		if !bytes.Equal(d.Body, body) {
			t.Fatalf("reading made %q of %q", d.Body, body)
		}
		again := read(d, event.Key{}, now, nil)
		if !slices.EqualFunc(m.events, again.events, func(a, b event.Event) bool { return a.ID == b.ID && bytes.Equal(a.Payload, b.Payload) }) ||
			!slices.EqualFunc(m.letters, again.letters, func(a, b deadletter.Letter) bool { return a.Reason == b.Reason && bytes.Equal(a.Body, b.Body) }) {
			t.Fatalf("read %+v, and then %+v", m, again)
		}
		checkNothingIsMissing(t, &m, body)
	})
}

// checkLetter: RabbitMQ takes it, and it says why it is dead.
func checkLetter(t *testing.T, l *deadletter.Letter, now time.Time) {
	t.Helper()
	message := l.Message(now)
	reason, _ := message.Headers[deadletter.HeaderReason].(string)
	detail, _ := message.Headers[deadletter.HeaderDetail].(string)
	if reason == "" || detail == "" || len(detail) > 1000 || !utf8.ValidString(detail) {
		t.Fatalf("a letter for %q: %q", reason, detail)
	}
}

// checkNothingIsMissing: a group's lines are as many as its events and letters, where no
// letter has all of it; any other message is one of either.
func checkNothingIsMissing(t *testing.T, m *message, body []byte) {
	t.Helper()
	want, whole := 1, 0
	if m.IsGroup() {
		want = 0
		for line := range bytes.Lines(body) {
			if len(bytes.Trim(line, " \t\r\n")) > 0 {
				want++
			}
		}
		for i := range m.letters {
			switch m.letters[i].Reason {
			case deadletter.ReasonEmptyGroup, deadletter.ReasonGroupTooLarge:
				return
			case deadletter.ReasonGroupCount:
				whole++
			}
		}
	}
	if m.count()-whole != want {
		t.Fatalf("%d events and %d letters of %d lines", len(m.events), len(m.letters), want)
	}
}
