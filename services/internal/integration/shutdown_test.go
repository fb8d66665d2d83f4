package integration

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// A contract's deadline of 10 s, and its slack.
const stopWithin = 50 * time.Second

// load posts events from a few clients until stop is closed, and returns what they were
// told, each with a pause between its requests.
func load(t *testing.T, url string, clients int, pause time.Duration, stop <-chan struct{}) (accepted func() []string, refused *atomic.Int64) {
	t.Helper()
	var mu sync.Mutex
	var ids []string
	refused = new(atomic.Int64)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				a, err := pipeline.TryPost(url+"/log", "application/json", fmt.Sprintf(`{"session_id":%d,"event_type":"user_action","payload":{"n":%d}}`, c+1, n))
				if err != nil || a.Code != 202 {
					refused.Add(1)
					time.Sleep(10 * time.Millisecond) // as a client would
					continue
				}
				mu.Lock()
				ids = append(ids, a.EventID)
				mu.Unlock()
				time.Sleep(pause)
			}
		})
	}
	return func() []string {
		wg.Wait()
		return ids
	}, refused
}

func TestTheProducerStopsUnderLoad(t *testing.T) {
	s := pipeline.New(t)
	p := s.Spawn("producer")
	pipeline.Eventually(t, "the producer is ready", p.Ready)
	stop := make(chan struct{})
	accepted, refused := load(t, p.URL, 20, 0, stop)
	pipeline.Eventually(t, "there is load", func() bool { return pipeline.Metric(t, &p.Service, "trailpost_events_confirmed_total") > 1000 })
	if took := p.Terminate(); took > stopWithin {
		t.Errorf("it took %s to stop", took)
	}
	pipeline.Eventually(t, "clients notice", func() bool { return refused.Load() > 0 })
	close(stop)
	ids := accepted()
	s.Consumer()
	pipeline.Eventually(t, "everything accepted is stored", func() bool { return s.Rows("event_id = ANY($1)", ids) == len(ids) })
	t.Logf("%d accepted", len(ids))
}

func TestTheConsumerStopsUnderLoad(t *testing.T) {
	s := pipeline.New(t)
	producer := s.Producer()
	stop := make(chan struct{})
	accepted, _ := load(t, producer.URL, 20, 0, stop)
	for range 3 {
		c := s.Spawn("consumer")
		before := s.Rows("")
		pipeline.Eventually(t, "it stores", func() bool { return s.Rows("") > before+500 })
		if took := c.Terminate(); took > stopWithin {
			t.Errorf("it took %s to stop", took)
		}
	}
	close(stop)
	ids := accepted()
	s.Consumer()
	s.WaitRows(len(ids))
	if n := s.Rows("event_id = ANY($1)", ids); n != len(ids) {
		t.Errorf("%d rows of %d ids", n, len(ids))
	}
	s.WaitLetters(0)
}
