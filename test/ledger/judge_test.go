package ledger

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
)

// The comparison that the other tests rest on sees each kind of fault.
func TestJudge(t *testing.T) {
	clone := func(e Event, change func(*Event)) Event {
		e.Payload = bytes.Clone(e.Payload)
		change(&e)
		return e
	}
	for _, tc := range []struct {
		name string
		// evidence is given three accepted events, and one that was not.
		evidence func(e []Event) (rows []Event, letters []Letter)
		want     Verdict
	}{
		{"all is well", func(e []Event) ([]Event, []Letter) { return e[:3], nil }, Verdict{Stored: 3}},
		{"what was not accepted may be stored", func(e []Event) ([]Event, []Letter) { return e, nil }, Verdict{Stored: 4}},
		{"dead letters count, however often", func(e []Event) ([]Event, []Letter) {
			return e[:2], []Letter{{e[2], "rejected"}, {e[2], "rejected"}}
		}, Verdict{Stored: 2, DeadLettered: 1}},
		{"lost", func(e []Event) ([]Event, []Letter) { return e[1:3], nil }, Verdict{Stored: 2, Lost: 1}},
		{"twice, under another id", func(e []Event) ([]Event, []Letter) {
			return append(e[:3], clone(e[0], func(e *Event) { e.ID = uuid.Must(uuid.NewV7()) })), nil
		}, Verdict{Stored: 3, Twice: 1, Altered: 1}},
		{"a row and a dead letter", func(e []Event) ([]Event, []Letter) { return e[:3], []Letter{{e[0], "rejected"}} }, Verdict{Stored: 3, Twice: 1}},
		{"the broker's limit after the commit", func(e []Event) ([]Event, []Letter) { return e[:3], []Letter{{e[0], byLimit}} }, Verdict{Stored: 3}},
		{"never sent", func(e []Event) ([]Event, []Letter) { return append(e[:3], event("another run", 0)), nil }, Verdict{Stored: 3, Foreign: 1}},
		{"a number that was never sent", func(e []Event) ([]Event, []Letter) {
			return append(e[:3], clone(e[0], func(e *Event) { e.Payload = bytes.Replace(e.Payload, []byte(`"n":0`), []byte(`"n":77`), 1) })), nil
		}, Verdict{Stored: 3, Foreign: 1}},
		{"a dead letter that can't be read", func(e []Event) ([]Event, []Letter) { return e[:3], []Letter{{Reason: "invalid_event"}} }, Verdict{Stored: 3, Foreign: 1}},
		{"every field altered, one a row", func(e []Event) ([]Event, []Letter) {
			return []Event{
				clone(e[0], func(e *Event) { e.SessionID++ }),
				clone(e[1], func(e *Event) { e.Timestamp = e.Timestamp.Add(time.Microsecond) }),
				clone(e[2], func(e *Event) { e.Type += "x" }),
				clone(e[3], func(e *Event) { e.Payload = append(e.Payload[:len(e.Payload)-1], `,"more":1}`...) }),
			}, nil
		}, Verdict{Stored: 4, Altered: 4}},
		{"an altered dead letter", func(e []Event) ([]Event, []Letter) {
			return e[:2], []Letter{{clone(e[2], func(e *Event) { e.Username += "x" }), "rejected"}}
		}, Verdict{Stored: 2, DeadLettered: 1, Altered: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := New()
			numbers, events := l.Send(4)
			l.Accept(numbers[:3])
			rows, letters := tc.evidence(events)
			got := l.Judge(rows, letters)
			tc.want.Sent, tc.want.Accepted = 4, 3
			faults := got.Lost + got.Altered + got.Twice + got.Foreign
			if got.String() != tc.want.String() || got.Clean() != (faults == 0) {
				t.Errorf("%v, want %v: %q", &got, &tc.want, got.Faults)
			}
		})
	}
}

// An answer that was never promised is a fault even if every event is stored.
func TestJudgeHearsComplaints(t *testing.T) {
	l := New()
	l.Answered("500", "status 500")
	if v := l.Judge(nil, nil); v.Clean() {
		t.Error("a client that was told 500 is content")
	}
}

func TestEqualJSON(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[2]}`, `{ "b": [2.0], "a": 1e0 }`, true},
		{`{"a":"\u00e9"}`, `{"a":"é"}`, true},
		{`{"n":9007199254740993}`, `{"n":9007199254740992}`, false},
		{`{"a":1}`, `{"a":"1"}`, false},
		{`{"a":null}`, `{}`, false},
		{`[1,2]`, `[2,1]`, false},
		{`{}`, ``, false},
	} {
		if got := equalJSON([]byte(tc.a), []byte(tc.b)); got != tc.want {
			t.Errorf("%s and %s: %v", tc.a, tc.b, got)
		}
	}
}

// A dead letter's body is read as what was sent.
func TestParseLetter(t *testing.T) {
	l := New()
	_, events := l.Send(50)
	for i := range events {
		e := &events[i]
		letter, err := ParseLetter(fmt.Appendf(nil, `{"event_id":%q,"session_id":%d,"event_type":%q,"username":%q,"timestamp":%q,"payload":%s}`,
			e.ID, e.SessionID, e.Type, e.Username, e.Timestamp.Format("2006-01-02T15:04:05.000000"), e.Payload), "reason")
		if err != nil {
			t.Fatal(err)
		}
		if d := differences(e, &letter.Event); len(d) > 0 {
			t.Errorf("%v differ", d)
		}
		if letter, err = ParseLetter(e.Body(), "reason"); err != nil || len(differences(e, &letter.Event)) > 0 {
			t.Errorf("%v, %v", err, letter)
		}
	}
}
