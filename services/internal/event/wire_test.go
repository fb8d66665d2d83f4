package event_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event"
)

func TestWireIsStable(t *testing.T) {
	e := event.Event{
		ID:          uuid.MustParse("019364a3-0000-7abc-8def-0123456789ab"),
		SessionID:   123,
		Type:        `a "quoted" type`,
		Username:    "ada",
		Timestamp:   time.Date(2026, 11, 24, 10, 0, 0, 123456000, time.UTC),
		ReceivedAt:  time.Date(2026, 11, 24, 10, 0, 1, 0, time.UTC),
		Payload:     []byte(`{"b":1,  "a":[]}`),
		TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",

		ReceivedFrom: "billing",
	}
	want := `{"session_id":123,"event_type":"a \"quoted\" type","payload":{"b":1,  "a":[]},` +
		`"timestamp":"2026-11-24T10:00:00.123456+00:00","producer_timestamp":"2026-11-24T10:00:01.000000+00:00",` +
		`"event_id":"019364a3-0000-7abc-8def-0123456789ab","username":"ada",` +
		`"received_from":"billing","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`
	got := event.AppendWire(nil, &e)
	if string(got) != want {
		t.Fatalf("wrote\n%s, want\n%s", got, want)
	}
	back, err := event.ParseWire(got, noon)
	if err != nil {
		t.Fatal(err)
	}
	if again := event.AppendWire(nil, &back); string(again) != want {
		t.Errorf("read back\n%s", again)
	}
}

// original is what the Python service's producer puts on the queue.
const original = `{"session_id": 7, "event_type": "user_action", "payload": {"k": "v"}, ` +
	`"timestamp": "2026-11-24T11:59:00.5", "producer_timestamp": "2026-11-24T11:59:01.250000"}`

func TestParseWireGivesTheOriginalsEventsAnID(t *testing.T) {
	e, err := event.ParseWire([]byte(original), noon)
	if err != nil {
		t.Fatal(err)
	}
	received := time.Date(2026, 11, 24, 11, 59, 1, 250e6, time.UTC)
	if e.ID.Version() != 7 || e.ID.Variant() != uuid.RFC4122 || !event.IDTime(e.ID).Equal(received) || !e.ReceivedAt.Equal(received) {
		t.Errorf("id %s of %s, received at %s", e.ID, event.IDTime(e.ID), e.ReceivedAt)
	}
	again, _ := event.ParseWire([]byte(original), noon.Add(time.Hour))
	other, _ := event.ParseWire([]byte(strings.Replace(original, `"v"`, `"w"`, 1)), noon)
	if again.ID != e.ID || other.ID == e.ID {
		t.Errorf("ids %s, %s again, %s for another body", e.ID, again.ID, other.ID)
	}
}

func TestParseWireRefuses(t *testing.T) {
	with := func(id string) string { return `{"session_id":1,"event_type":"t","event_id":"` + id + `"}` }
	for _, tc := range []struct{ name, line, reason string }{
		{"empty", ``, event.ReasonInvalidJSON},
		{"not JSON", `hello`, event.ReasonInvalidJSON},
		{"cut off", original[:50], event.ReasonInvalidJSON},
		{"NaN from Python", `{"session_id":1,"event_type":"t","payload":{"a":NaN}}`, event.ReasonInvalidJSON},
		{"array", `[]`, event.ReasonInvalidEvent},
		{"no session", `{"event_type":"t","producer_timestamp":"2026-11-24T11:59:01"}`, event.ReasonInvalidEvent},
		{"no id and no time", `{"session_id":1,"event_type":"t"}`, event.ReasonInvalidEvent},
		{"bad producer_timestamp", `{"session_id":1,"event_type":"t","producer_timestamp":"x"}`, event.ReasonInvalidEvent},
		{"NUL", `{"session_id":1,"event_type":"t","payload":{"a":"\u0000"},"producer_timestamp":"2026-11-24T11:59:01"}`, event.ReasonInvalidEvent},
		{"nameless sender", `{"session_id":1,"event_type":"t","producer_timestamp":"2026-11-24T11:59:01","received_from":""}`, event.ReasonInvalidEvent},
		{"sender of 65 characters", `{"session_id":1,"event_type":"t","producer_timestamp":"2026-11-24T11:59:01","received_from":"` + strings.Repeat("ü", 65) + `"}`, event.ReasonInvalidEvent},
		{"sender a number", `{"session_id":1,"event_type":"t","producer_timestamp":"2026-11-24T11:59:01","received_from":1}`, event.ReasonInvalidEvent},
		{"id v4", with(uuid.NewString()), event.ReasonInvalidID},
		{"id a number", `{"session_id":1,"event_type":"t","event_id":7}`, event.ReasonInvalidID},
		{"id from 2019", with(idAt(time.Date(2019, 12, 31, 23, 59, 59, 0, time.UTC)).String()), event.ReasonInvalidID},
		{"id from the future", with(idAt(noon.Add(2 * time.Hour)).String()), event.ReasonInvalidID},
		{"stand-in from 1969", `{"session_id":1,"event_type":"t","producer_timestamp":"1969-01-01T00:00:00"}`, event.ReasonInvalidID},
		{"stand-in from the future", `{"session_id":1,"event_type":"t","producer_timestamp":"2036-01-01T00:00:00"}`, event.ReasonInvalidID},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := event.ParseWire([]byte(tc.line), noon)
			var wire *event.WireError
			if !errors.As(err, &wire) || wire.Reason != tc.reason {
				t.Errorf("got %v, want %s", err, tc.reason)
			}
		})
	}
}

func TestParseWireUsesTheTimestampWhereTheProducersIsMissing(t *testing.T) {
	e, err := event.ParseWire([]byte(`{"session_id":1,"event_type":"t","timestamp":"2026-11-24T11:59:01"}`), noon)
	if err != nil || !event.IDTime(e.ID).Equal(e.Timestamp) || !e.ReceivedAt.Equal(e.Timestamp) {
		t.Errorf("read %+v, %v", e, err)
	}
}
