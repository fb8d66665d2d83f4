package integration

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// outage is how long PostgreSQL is away.
const outage = time.Minute

// Both servers go away and come back, on a pair of the test's own.
func TestOutages(t *testing.T) {
	t.Parallel()
	servers := testbed.PrivateServers(t)
	s := pipeline.On(t, servers.Database(t), servers.Vhost(t))
	producer, consumer := s.Producer(), s.Consumer()

	t.Run("PostgreSQL", func(t *testing.T) {
		stop := make(chan struct{})
		accepted, refused := load(t, producer.URL, 2, 50*time.Millisecond, stop) // a minute at full speed costs other tests as much
		pipeline.Eventually(t, "there is load", func() bool { return pipeline.Metric(t, consumer, "trailpost_events_stored_total") > 100 })
		if err := s.Reader.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := servers.Postgres.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		pipeline.Eventually(t, "readiness goes off", func() bool {
			code, _ := pipeline.Get(t, consumer.URL+"/readyz")
			return code == 503
		})
		time.Sleep(outage) // what is asked for
		if code, body := pipeline.Get(t, consumer.URL+"/livez"); code != 200 {
			t.Errorf("liveness asked the database: %d %s", code, body)
		}
		if code, body := pipeline.Get(t, consumer.URL+"/readyz"); code != 503 || !strings.Contains(body, "not ready") {
			t.Errorf("%d %s", code, body)
		}
		if up, age := pipeline.Metric(t, consumer, "trailpost_database_up"), pipeline.Metric(t, consumer, "trailpost_oldest_event_in_hand_seconds"); up != 0 || age < outage.Seconds()/2 {
			t.Errorf("the metrics say that the database is up (%v), and of events in hand that they came %v s ago", up, age)
		}
		close(stop)
		ids := accepted()
		if n := refused.Load(); n > 0 {
			t.Errorf("%d requests were refused", n)
		}
		if err := servers.Postgres.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Reader = s.DB.Connect(s.T, s.DB.Reader)
		s.WaitRows(len(ids))
		pipeline.Eventually(t, "readiness comes back", func() bool {
			code, _ := pipeline.Get(t, consumer.URL+"/readyz")
			return code == 200 && pipeline.Metric(t, consumer, "trailpost_database_up") == 1
		})
		s.WaitLetters(0)
		t.Logf("%d events were accepted", len(ids))
	})

	t.Run("RabbitMQ", func(t *testing.T) {
		before := s.Rows("")
		var clients sync.WaitGroup
		const count, each = 8, 50
		half := make(chan struct{}, count)
		for c := range count {
			clients.Go(func() { insist(t, producer.URL, c, each, half) })
		}
		for range count {
			<-half
		}
		if err := servers.Rabbit.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		var refusal pipeline.Answer
		pipeline.Eventually(t, "requests are refused", func() bool {
			refusal = pipeline.Post(t, producer.URL+"/log", "application/json", `{"session_id":1,"event_type":""}`) // invalid, should it be let in
			if refusal.Code == 422 {
				refusal = pipeline.Post(t, producer.URL+"/log", "application/json", fmt.Sprintf(`{"session_id":1,"event_type":"probe","event_id":"%s"}`, newID()))
			}
			return refusal.Code == 503
		})
		if seconds, err := strconv.Atoi(refusal.Header.Get("Retry-After")); err != nil || seconds < 1 {
			t.Errorf("Retry-After %q", refusal.Header.Get("Retry-After"))
		}
		for _, url := range []string{producer.URL, consumer.URL} {
			pipeline.Eventually(t, "readiness goes off", func() bool {
				code, _ := pipeline.Get(t, url+"/readyz")
				return code == 503 && pipeline.Metric(t, &pipeline.Service{URL: url}, "trailpost_broker_up") == 0
			})
		}
		if pipeline.Exported(t, consumer, "trailpost_oldest_event_in_hand_seconds") {
			t.Error("a consumer without a broker says how old the oldest event is")
		}
		if code, body := pipeline.Get(t, producer.URL+"/health"); code != 503 || !strings.Contains(body, `"unhealthy"`) {
			t.Errorf("%d %s", code, body)
		}
		if err := servers.Rabbit.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		clients.Wait()
		// Each was told 202 once, whatever it was told before; a probe may have been stored too.
		pipeline.Eventually(t, "everything accepted is stored", func() bool { return s.Rows("event_type = 'insisted'") == count*each })
		for _, url := range []string{producer.URL, consumer.URL} {
			pipeline.Eventually(t, "readiness comes back", func() bool {
				code, _ := pipeline.Get(t, url+"/readyz")
				return code == 200 && pipeline.Metric(t, &pipeline.Service{URL: url}, "trailpost_broker_up") == 1
			})
		}
		s.WaitLetters(0)
		t.Logf("%d rows, then %d", before, s.Rows(""))
	})

	t.Run("max_message_size", func(t *testing.T) {
		const limit = 64 << 10
		err := servers.Rabbit.Eval(t.Context(), fmt.Sprintf("ok = application:set_env(rabbit, max_message_size, %[1]d), ok = persistent_term:put(max_message_size, %[1]d)", limit))
		if err != nil {
			t.Fatal(err)
		}
		producer := s.Producer() // 3.10 gives it to new channels
		before := s.Rows("")
		confirmed := pipeline.Metric(t, producer, "trailpost_events_confirmed_total")
		stop := make(chan struct{})
		accepted, refused := load(t, producer.URL, 8, time.Millisecond, stop)
		pipeline.Eventually(t, "there is load", func() bool { return pipeline.Metric(t, producer, "trailpost_events_confirmed_total") > confirmed+200 })
		large := fmt.Sprintf(`{"session_id":1,"event_type":"user_action","payload":{"text":"%s"}}`, strings.Repeat("x", 100_000))
		for range 5 {
			a := pipeline.Post(t, producer.URL+"/log", "application/json", large)
			if a.Code != 413 || !strings.Contains(a.Body, "at most 65536 in a message") {
				t.Errorf("too large for RabbitMQ: %d %s", a.Code, a.Body)
			}
		}
		a := pipeline.Post(t, producer.URL+"/log/batch", "application/json", `[{"session_id":1,"event_type":"user_action"},`+large+`]`)
		if a.Code != 413 || !strings.Contains(a.Body, `"index":1`) {
			t.Errorf("too large for RabbitMQ, in a batch: %d %s", a.Code, a.Body)
		}
		close(stop)
		ids := accepted()
		if n := refused.Load(); n > 0 {
			t.Errorf("%d of %d other requests were refused", n, n+int64(len(ids)))
		}
		s.WaitRows(before + len(ids))
		s.WaitLetters(0)
	})
}

// insist posts events, each with its id until it is accepted: what a client
// should do.
func insist(t *testing.T, url string, session, n int, half chan<- struct{}) {
	t.Helper()
	for i := range n {
		if i == n/2 {
			half <- struct{}{}
		}
		id := newID()
		deadline := time.Now().Add(2 * pipeline.Patience)
		for {
			a, err := pipeline.TryPost(url+"/log", "application/json",
				fmt.Sprintf(`{"session_id":%d,"event_type":"insisted","event_id":"%s"}`, session+1, id))
			if err == nil && a.Code == 202 {
				break
			}
			if err == nil && a.Code != 503 || time.Now().After(deadline) {
				t.Errorf("%d %s, %v", a.Code, a.Body, err)
				return
			}
			time.Sleep(20 * time.Millisecond) // as a client would, but sooner
		}
		time.Sleep(5 * time.Millisecond) // spreads the load over the outage
	}
}
