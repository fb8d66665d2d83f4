package integration

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// sourced is an event as a producer with doors will write it, keyed by name.
func sourced(id uuid.UUID, name, payload string) event.Event {
	key := sha256.Sum256([]byte(name))
	at := event.IDTime(id)
	return event.Event{
		ID: id, Type: "github.push", Username: "x", Timestamp: at, ReceivedAt: at, Payload: []byte(payload),
		Source: &event.Source{Name: "in/github", ID: name, EventKey: key[:]},
	}
}

// TestEventsWithASource come through the whole pipeline: a row without a session, duplicates by
// their key, dead letters with all that they came with, and a second one under a new id.
func TestEventsWithASource(t *testing.T) {
	s := pipeline.New(t, identitySetting)
	consumer := s.Consumer()
	publish := func(events ...event.Event) {
		t.Helper()
		m := amqp.Publishing{ContentType: broker.ContentEvent, Headers: amqp.Table{broker.HeaderEvents: int32(len(events)), broker.HeaderIdentity: "0badcafe"}}
		for i := range events {
			if i > 0 {
				m.ContentType = broker.ContentGroup
				m.Body = append(m.Body, '\n')
			}
			m.Body = event.AppendWire(m.Body, &events[i])
		}
		s.Publish(m)
	}
	publish(sourced(newID(), "first", `{"a":1,"unsigned":{"attempt":1}}`))
	s.WaitRows(1)
	if n := s.Rows("source = 'in/github' AND source_id = 'first' AND session_id IS NULL AND username = 'x' AND event_type = 'github.push'"); n != 1 {
		t.Error("the row is not what was sent")
	}
	publish(sourced(newID(), "first", `{"a":1,"unsigned":{"attempt":2}}`), sourced(newID(), "second", `{}`), sourced(newID(), "second", `{}`))
	s.WaitRows(2)
	pipeline.Eventually(t, "the repeats are counted", func() bool { return pipeline.Metric(t, consumer, "trailpost_events_duplicate_total") == 2 })

	other := sourced(newID(), "first", `{"a":2}`)
	publish(other)
	letter := s.WaitLetters(1)[0]
	if letter.EventID != other.ID.String() || letter.Reason != deadletter.ReasonIDReused || letter.Source != "in/github" || letter.SourceID != "first" || letter.SessionID != 0 {
		t.Errorf("%+v", letter)
	}
	// It still has its key.
	if n := len(s.Replay(deadletter.ReplayOptions{})); n != 1 {
		t.Fatalf("%d replayed", n)
	}
	pipeline.Eventually(t, "it is dead again", func() bool {
		return pipeline.Metric(t, consumer, `trailpost_events_dead_lettered_total{reason="event_id_reused"}`) == 2
	})
	s.WaitLetters(1)
	s.Replay(deadletter.ReplayOptions{NewID: true})
	s.WaitRows(3)
	s.WaitLetters(0)

	owner := s.DB.Connect(t, s.DB.Owner)
	if _, err := owner.Exec(t.Context(), "DELETE FROM log_events WHERE source_id = 'second'"); err != nil {
		t.Fatal(err)
	}
	publish(sourced(newID(), "second", `{}`))
	if letter := s.WaitLetters(1)[0]; letter.Reason != deadletter.ReasonKeyWithoutEvent {
		t.Errorf("%+v", letter)
	}
	if _, err := owner.Exec(t.Context(), "INSERT INTO retired_months (month, event_count) SELECT date_trunc('month', now() AT TIME ZONE 'UTC'), 1"); err != nil {
		t.Fatal(err)
	}
	s.Replay(deadletter.ReplayOptions{})
	pipeline.Eventually(t, "it is known by its key alone", func() bool { return pipeline.Metric(t, consumer, "trailpost_events_not_compared_total") == 1 })
	s.WaitLetters(0)
	if n := s.Rows(""); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

// TestLargeEventsWithASource: doors let events of 4 MiB through, and each is a batch with others
// of at most 8 MiB.
func TestLargeEventsWithASource(t *testing.T) {
	s := pipeline.New(t)
	s.Consumer()
	large := make([]byte, 4<<20-1000)
	for i := range large {
		large[i] = 'x'
	}
	for n := range 5 {
		e := sourced(newID(), fmt.Sprint(n), `{"text":"`+string(large)+`"}`)
		s.Publish(amqp.Publishing{ContentType: broker.ContentEvent, Body: event.AppendWire(nil, &e)})
	}
	pipeline.Within(t, time.Minute, "all are rows", func() bool { return s.Rows("length(payload->>'text') = $1", len(large)) == 5 })
}
