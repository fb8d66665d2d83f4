package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/config"
)

// One event that waits for somebody's lock holds nobody else up: its batch is taken apart.
func TestABatchThatTakesTooLongIsHalved(t *testing.T) {
	s := newStack(t, "CONSUMER_WORKERS=1")
	producer, before := s.producer(), s.consumer()
	if a := post(t, producer.url+"/log", "application/json", `{"session_id":7,"event_type":"user_action"}`); a.Code != 202 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	s.waitRows(1)
	if err := before.stop(); err != nil {
		t.Fatal(err)
	}
	admin := s.db.Connect(t, s.db.Admin)
	for _, statement := range []string{"BEGIN", "SELECT FROM review_sessions WHERE session_id = 7 FOR UPDATE"} {
		if _, err := admin.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	a := post(t, producer.url+"/log/batch", "application/x-ndjson",
		lines(60, `{"session_id":1,"event_type":"user_action","payload":{"n":%d}}`)+"\n"+`{"session_id":7,"event_type":"user_action"}`)
	if a.Code != 202 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	log := s.logged()
	c, err := app.NewConsumer(s.config(config.ForConsumer), s.log)
	if err == nil {
		c.StoreTimeout = 2 * time.Second
	}
	consumer := s.start(c, err)
	s.waitRows(61)
	if !strings.Contains(log.String(), "trying by halves") {
		t.Error("the log says nothing of halves")
	}
	if n := metric(t, consumer, `trailpost_retries_total{class="transient",operation="store"}`); n == 0 {
		t.Error("no retry is counted")
	}
	if _, err := admin.Exec(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	s.waitRows(62)
	s.waitLetters(0)
}
