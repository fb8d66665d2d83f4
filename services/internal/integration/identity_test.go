package integration

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

const identitySetting = "IDENTITY_KEY=00112233445566778899aabbccddeeffffeeddccbbaa99887766554433221100"

// python are events as the Python service wrote them: without an id.
func python(n int) (bodies [][]byte) {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000")
	for i := range n {
		bodies = append(bodies, fmt.Appendf(nil, `{"session_id": 7, "event_type": "user_action", "payload": {"n": %d}, "timestamp": %q, "producer_timestamp": %q}`, i, now, now))
	}
	return bodies
}

// bury puts messages on the dead-letter queue.
func bury(s *pipeline.Pipeline, messages ...broker.Message) {
	s.T.Helper()
	publisher := admin.NewConfirmingPublisher(s.Broker())
	defer publisher.Close()
	if err := publisher.Publish(context.Background(), "log_queue.dead", messages); err != nil {
		s.T.Fatal(err)
	}
}

// 60 letters that are replayed twice under new ids, since their removal was lost, are 60 rows.
func TestSixtyReplayedTwiceAreSixtyRows(t *testing.T) {
	s := pipeline.New(t, identitySetting)
	consumer := s.Consumer()
	var letters []broker.Message
	for i := range 60 {
		e, _, err := new(event.Parser).Parse(fmt.Appendf(nil, `{"session_id":1,"event_type":"user_action","payload":{"n":%d}}`, i), event.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		letter := deadletter.Letter{ID: e.ID, Type: e.Type, Body: event.AppendWire(nil, &e), ContentType: broker.ContentEvent, Reason: deadletter.ReasonIDReused}
		letters = append(letters, letter.Message(time.Now()))
	}
	for range 2 {
		bury(s, letters...)
		if n := len(s.Replay(deadletter.ReplayOptions{NewID: true})); n < 60 {
			t.Errorf("%d replayed", n)
		}
	}
	pipeline.Eventually(t, "the second replay is through", func() bool {
		return s.Rows("")+int(pipeline.Metric(t, consumer, "trailpost_events_duplicate_total")) >= 120
	})
	if n := s.Rows(""); n != 60 {
		t.Errorf("%d rows, want 60", n)
	}
	s.WaitLetters(0)
}

// What died before there was a key, and again after it, was one event and becomes one row. The
// letters of an event without an id are that event as it came, so that their ids are derived when
// they are replayed.
func TestTheDayOfTheKeyWithLetters(t *testing.T) {
	s := pipeline.New(t)
	owner := s.DB.Connect(t, s.DB.Owner)
	if _, err := owner.Exec(t.Context(), "ALTER TABLE log_events ADD CONSTRAINT none CHECK (event_type <> 'user_action')"); err != nil {
		t.Fatal(err)
	}
	bodies := python(3)
	single := bytes.Replace(bodies[0], []byte(`"payload": {`), []byte("\"payload\": {\n"), 1)
	messages := []amqp.Publishing{
		{ContentType: "application/json", Body: single},
		{ContentType: "application/x-ndjson", Body: bytes.Join(bodies[1:], []byte("\r\n"))},
	}
	old := s.Consumer()
	for _, m := range messages {
		s.Publish(m)
	}
	s.WaitLetters(3)
	if err := old.Stop(); err != nil {
		t.Fatal(err)
	}

	s.Environ = append(s.Environ, identitySetting)
	consumer := s.Consumer()
	for _, m := range messages {
		s.Publish(m)
	}
	known := map[string]int{}
	for _, e := range s.WaitLetters(6) {
		known[e.EventID]++
	}
	plain, err := event.ParseWire(single, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(known) != 3 || known[plain.ID.String()] != 2 {
		t.Errorf("letters of %v, two of them of %s", known, plain.ID)
	}
	if _, err := owner.Exec(t.Context(), "ALTER TABLE log_events DROP CONSTRAINT none"); err != nil {
		t.Fatal(err)
	}
	key := event.NewKey(s.Config(config.ForLetters).Service.IdentityKeyBytes())
	for _, replay := range []struct {
		opts    deadletter.ReplayOptions
		letters int
	}{
		{deadletter.ReplayOptions{Key: key, ID: plain.ID.String()}, 2}, // as it was called before there was a key
		{deadletter.ReplayOptions{Key: key, Reason: deadletter.ReasonRejected}, 4},
	} {
		if n := len(s.Replay(replay.opts)); n != replay.letters {
			t.Errorf("%d replayed, want %d", n, replay.letters)
		}
	}
	pipeline.Eventually(t, "all is through", func() bool {
		return s.Rows("")+int(pipeline.Metric(t, consumer, "trailpost_events_duplicate_total")) >= 6
	})
	if n := s.Rows(""); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
	s.WaitLetters(0)
}

// The day that an installation gets its key: what was stored before and comes again, redelivered or
// as a raw letter, is no second row.
func TestTheDayOfTheKey(t *testing.T) {
	s := pipeline.New(t)
	bodies := python(4)
	log := s.Logged()
	old := s.Consumer()
	for _, body := range bodies[:2] {
		s.Publish(amqp.Publishing{ContentType: "application/json", Body: body})
	}
	s.WaitRows(2)
	if !strings.Contains(log.String(), "IDENTITY_KEY is not set") {
		t.Error("nobody is told that there is no key")
	}
	if err := old.Stop(); err != nil {
		t.Fatal(err)
	}

	s.Environ = append(s.Environ, identitySetting)
	consumer := s.Consumer()
	if !strings.Contains(log.String(), "derived under the identity key") || strings.Contains(log.String(), "00112233") {
		t.Errorf("the log:\n%s", log.String())
	}
	bury(s, broker.Message{ContentType: "application/json", Body: bodies[0]}, broker.Message{ContentType: "application/json", Body: bodies[2]})
	if n := len(s.Replay(deadletter.ReplayOptions{})); n != 2 {
		t.Errorf("%d replayed", n)
	}
	s.WaitRows(3)
	pipeline.Eventually(t, "the one from before is a duplicate", func() bool { return pipeline.Metric(t, consumer, "trailpost_events_duplicate_total") == 1 })
	s.Publish(amqp.Publishing{ContentType: "application/json", Body: bodies[3]})
	s.WaitRows(4)
	plain, err := event.ParseWire(bodies[3], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Rows("event_id = $1", plain.ID); n != 0 {
		t.Error("a new one is stored under the plain id")
	}
}
