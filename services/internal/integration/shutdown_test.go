package integration

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
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
				a, err := tryPost(url+"/log", "application/json", fmt.Sprintf(`{"session_id":%d,"event_type":"user_action","payload":{"n":%d}}`, c+1, n))
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
	s := newStack(t)
	p := s.spawn("producer")
	eventually(t, "the producer is ready", p.ready)
	stop := make(chan struct{})
	accepted, refused := load(t, p.url, 20, 0, stop)
	eventually(t, "there is load", func() bool { return metric(t, &p.service, "trailpost_events_confirmed_total") > 1000 })
	if took := p.terminate(); took > stopWithin {
		t.Errorf("it took %s to stop", took)
	}
	eventually(t, "clients notice", func() bool { return refused.Load() > 0 })
	close(stop)
	ids := accepted()
	s.consumer()
	eventually(t, "everything accepted is stored", func() bool { return s.rows("event_id = ANY($1)", ids) == len(ids) })
	t.Logf("%d accepted", len(ids))
}

func TestTheConsumerStopsUnderLoad(t *testing.T) {
	s := newStack(t)
	producer := s.producer()
	stop := make(chan struct{})
	accepted, _ := load(t, producer.url, 20, 0, stop)
	for range 3 {
		c := s.spawn("consumer")
		before := s.rows("")
		eventually(t, "it stores", func() bool { return s.rows("") > before+500 })
		if took := c.terminate(); took > stopWithin {
			t.Errorf("it took %s to stop", took)
		}
	}
	close(stop)
	ids := accepted()
	s.consumer()
	s.waitRows(len(ids))
	if n := s.rows("event_id = ANY($1)", ids); n != len(ids) {
		t.Errorf("%d rows of %d ids", n, len(ids))
	}
	s.waitLetters(0)
}
