package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// One event that waits for somebody's lock holds nobody else up: its batch is halved.
func TestABatchThatTakesTooLongIsHalved(t *testing.T) {
	s := pipeline.New(t, "CONSUMER_WORKERS=1")
	producer, before := s.Producer(), s.Consumer()
	if a := pipeline.Post(t, producer.URL+"/log", "application/json", `{"session_id":7,"event_type":"user_action"}`); a.Code != 202 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	s.WaitRows(1)
	if err := before.Stop(); err != nil {
		t.Fatal(err)
	}
	admin := s.DB.Connect(t, s.DB.Admin)
	for _, statement := range []string{"BEGIN", "SELECT FROM review_sessions WHERE session_id = 7 FOR UPDATE"} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	a := pipeline.Post(t, producer.URL+"/log/batch", "application/x-ndjson",
		pipeline.Lines(60, `{"session_id":1,"event_type":"user_action","payload":{"n":%d}}`)+"\n"+`{"session_id":7,"event_type":"user_action"}`)
	if a.Code != 202 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	log := s.Logged()
	c, err := app.NewConsumer(s.Config(config.ForConsumer), s.Log)
	if err == nil {
		c.StoreTimeout = 2 * time.Second
	}
	consumer := s.Start(c, err)
	s.WaitRows(61)
	if !strings.Contains(log.String(), "trying by halves") {
		t.Error("the log says nothing of halves")
	}
	if n := pipeline.Metric(t, consumer, `trailpost_retries_total{class="transient",operation="store"}`); n == 0 {
		t.Error("no retry is counted")
	}
	if _, err := admin.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	s.WaitRows(62)
	s.WaitLetters(0)
}
