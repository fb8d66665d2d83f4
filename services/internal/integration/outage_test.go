package integration

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// outage is how long PostgreSQL is away.
const outage = time.Minute

// Both servers go away and come back, on a pair of the test's own.
func TestOutages(t *testing.T) {
	t.Parallel()
	servers := testbed.PrivateServers(t)
	s := stackOn(t, servers.Database(t), servers.Vhost(t))
	producer, consumer := s.producer(), s.consumer()

	t.Run("PostgreSQL", func(t *testing.T) {
		stop := make(chan struct{})
		accepted, refused := load(t, producer.url, 2, 50*time.Millisecond, stop) // a minute at full speed costs other tests as much
		eventually(t, "there is load", func() bool { return metric(t, consumer, "trailpost_events_stored_total") > 100 })
		if err := s.reader.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := servers.Postgres.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "readiness goes off", func() bool {
			code, _ := get(t, consumer.url+"/readyz")
			return code == 503
		})
		time.Sleep(outage) // what is asked for
		if code, body := get(t, consumer.url+"/livez"); code != 200 {
			t.Errorf("liveness asked the database: %d %s", code, body)
		}
		if code, body := get(t, consumer.url+"/readyz"); code != 503 || !strings.Contains(body, "not ready") {
			t.Errorf("%d %s", code, body)
		}
		if up, age := metric(t, consumer, "trailpost_database_up"), metric(t, consumer, "trailpost_oldest_event_in_hand_seconds"); up != 0 || age < outage.Seconds()/2 {
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
		s.reader = s.db.Connect(s.t, s.db.Reader)
		s.waitRows(len(ids))
		eventually(t, "readiness comes back", func() bool {
			code, _ := get(t, consumer.url+"/readyz")
			return code == 200 && metric(t, consumer, "trailpost_database_up") == 1
		})
		s.waitLetters(0)
		t.Logf("%d events were accepted", len(ids))
	})

	t.Run("RabbitMQ", func(t *testing.T) {
		before := s.rows("")
		var clients sync.WaitGroup
		const count, each = 8, 50
		half := make(chan struct{}, count)
		for c := range count {
			clients.Go(func() { insist(t, producer.url, c, each, half) })
		}
		for range count {
			<-half
		}
		if err := servers.Rabbit.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		var refusal answer
		eventually(t, "requests are refused", func() bool {
			refusal = post(t, producer.url+"/log", "application/json", `{"session_id":1,"event_type":""}`) // invalid, should it be let in
			if refusal.Code == 422 {
				refusal = post(t, producer.url+"/log", "application/json", fmt.Sprintf(`{"session_id":1,"event_type":"probe","event_id":"%s"}`, newID()))
			}
			return refusal.Code == 503
		})
		if seconds, err := strconv.Atoi(refusal.Header.Get("Retry-After")); err != nil || seconds < 1 {
			t.Errorf("Retry-After %q", refusal.Header.Get("Retry-After"))
		}
		for _, url := range []string{producer.url, consumer.url} {
			eventually(t, "readiness goes off", func() bool {
				code, _ := get(t, url+"/readyz")
				return code == 503 && metric(t, &service{url: url}, "trailpost_broker_up") == 0
			})
		}
		if exported(t, consumer, "trailpost_oldest_event_in_hand_seconds") {
			t.Error("a consumer without a broker says how old the oldest event is")
		}
		if code, body := get(t, producer.url+"/health"); code != 503 || !strings.Contains(body, `"unhealthy"`) {
			t.Errorf("%d %s", code, body)
		}
		if err := servers.Rabbit.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		clients.Wait()
		// Each was told 202 once, whatever it was told before; a probe may have been stored too.
		eventually(t, "everything accepted is stored", func() bool { return s.rows("event_type = 'insisted'") == count*each })
		for _, url := range []string{producer.url, consumer.url} {
			eventually(t, "readiness comes back", func() bool {
				code, _ := get(t, url+"/readyz")
				return code == 200 && metric(t, &service{url: url}, "trailpost_broker_up") == 1
			})
		}
		s.waitLetters(0)
		t.Logf("%d rows, then %d", before, s.rows(""))
	})

	t.Run("max_message_size", func(t *testing.T) {
		const limit = 64 << 10
		err := servers.Rabbit.Eval(t.Context(), fmt.Sprintf("ok = application:set_env(rabbit, max_message_size, %[1]d), ok = persistent_term:put(max_message_size, %[1]d)", limit))
		if err != nil {
			t.Fatal(err)
		}
		producer := s.producer() // 3.10 gives it to new channels
		before := s.rows("")
		confirmed := metric(t, producer, "trailpost_events_confirmed_total")
		stop := make(chan struct{})
		accepted, refused := load(t, producer.url, 8, time.Millisecond, stop)
		eventually(t, "there is load", func() bool { return metric(t, producer, "trailpost_events_confirmed_total") > confirmed+200 })
		large := fmt.Sprintf(`{"session_id":1,"event_type":"user_action","payload":{"text":"%s"}}`, strings.Repeat("x", 100_000))
		for range 5 {
			a := post(t, producer.url+"/log", "application/json", large)
			if a.Code != 413 || !strings.Contains(a.Body, "at most 65536 in a message") {
				t.Errorf("too large for RabbitMQ: %d %s", a.Code, a.Body)
			}
		}
		a := post(t, producer.url+"/log/batch", "application/json", `[{"session_id":1,"event_type":"user_action"},`+large+`]`)
		if a.Code != 413 || !strings.Contains(a.Body, `"index":1`) {
			t.Errorf("too large for RabbitMQ, in a batch: %d %s", a.Code, a.Body)
		}
		close(stop)
		ids := accepted()
		if n := refused.Load(); n > 0 {
			t.Errorf("%d of %d other requests were refused", n, n+int64(len(ids)))
		}
		s.waitRows(before + len(ids))
		s.waitLetters(0)
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
		deadline := time.Now().Add(2 * patience)
		for {
			a, err := tryPost(url+"/log", "application/json",
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
