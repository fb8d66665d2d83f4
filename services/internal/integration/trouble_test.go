package integration

import (
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// A right that is missing is nobody's event's fault: the batch is kept, a
// person is told, and when the right is there again all is stored.
func TestTroubleWaitsForAPerson(t *testing.T) {
	s := pipeline.New(t, "CONSUMER_RETRY_ATTEMPTS=1", "CONSUMER_RETRY_DELAY=0.2")
	producer := s.Producer()
	log := s.Logged()
	consumer := s.Consumer()
	owner := s.DB.Connect(t, s.DB.Owner)
	// The group role that the writer's login is a member of.
	if _, err := owner.Exec(t.Context(), "REVOKE SELECT ON users FROM trailpost_writer"); err != nil {
		t.Fatal(err)
	}
	a := pipeline.Post(t, producer.URL+"/log/batch", "application/x-ndjson", pipeline.Lines(300, `{"session_id":1,"event_type":"user_action","username":"ada","payload":{"n":%d}}`))
	if a.Code != 202 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	pipeline.Eventually(t, "a person is told", func() bool {
		return strings.Contains(log.String(), "level=ERROR") && strings.Contains(log.String(), "42501")
	})
	pipeline.Eventually(t, "readiness goes off", func() bool {
		code, _ := pipeline.Get(t, consumer.URL+"/readyz")
		return code == 503
	})
	if n := pipeline.Metric(t, consumer, `trailpost_retries_total{class="trouble",operation="store"}`); n == 0 {
		t.Error("no retry is counted")
	}
	if n := pipeline.Metric(t, consumer, "trailpost_oldest_event_in_hand_seconds"); n <= 0 {
		t.Error("the events in hand have no age")
	}
	if _, err := owner.Exec(t.Context(), "GRANT SELECT ON users TO trailpost_writer"); err != nil {
		t.Fatal(err)
	}
	s.WaitRows(300)
	pipeline.Eventually(t, "readiness comes back", func() bool {
		code, _ := pipeline.Get(t, consumer.URL+"/readyz")
		return code == 200
	})
	s.WaitLetters(0)
	pipeline.Eventually(t, "nothing is in hand", func() bool { return pipeline.Metric(t, consumer, "trailpost_oldest_event_in_hand_seconds") == 0 })
}

// The broker's delivery limit moves a message that kills its consumers to the
// dead-letter queue; it takes nobody with it, since it comes alone from the third time on.
func TestAMessageThatKillsConsumersGoesAlone(t *testing.T) {
	s := pipeline.New(t)
	producer := s.Producer()
	if out, err := s.Vhost.Ctl(t.Context(), "set_policy", "limit", "^log_queue$", `{"delivery-limit":5}`, "--apply-to", "queues"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ids := s.Accept(producer, 640) // ten groups
	// A consumer that dies at its first commit holds them all.
	for range 2 {
		p := s.Spawn("consumer", pipeline.HookVariable+"=stall 1", "CONSUMER_WORKERS=1", "CONSUMER_BATCH_SIZE=1")
		for p.Line() != pipeline.Stalled {
		}
		p.Kill()
	}
	log := s.Logged()
	s.Consumer()
	s.WaitRows(640)
	if n := s.Rows("event_id = ANY($1)", ids); n != 640 {
		t.Errorf("%d rows", n)
	}
	// Had they come in batches of 1,000, one line would tell of all.
	if n := strings.Count(log.String(), "messages=1 "); n < 5 {
		t.Errorf("%d batches of one message:\n%s", n, log.String())
	}
	s.WaitLetters(0)
}
