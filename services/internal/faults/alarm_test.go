package faults

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trailpost/trailpost/test/ledger"
)

// slowest remembers how long the slowest request took that was answered 503.
type slowest struct {
	http.RoundTripper
	nanoseconds atomic.Int64
}

func (s *slowest) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	response, err := s.RoundTripper.RoundTrip(r)
	if err == nil && response.StatusCode == http.StatusServiceUnavailable {
		took := time.Since(start).Nanoseconds()
		for old := s.nanoseconds.Load(); took > old && !s.nanoseconds.CompareAndSwap(old, took); old = s.nanoseconds.Load() {
		}
	}
	return response, err
}

// A broker without memory under load: every client that waits is told so within a
// second, here with slack; afterwards all goes on by itself, and nothing is lost.
func TestABrokerWithoutMemory(t *testing.T) {
	const limit = 5 * time.Second
	w := newWorld(t, self(t))
	watch := &slowest{RoundTripper: w.client.HTTP.Transport}
	w.client.HTTP.Transport, w.client.HTTP.Timeout = watch, 2*limit
	stop, _ := w.client.Start(t.Context(), ledger.Pace{PerSecond: 300, Batch: 1, Workers: 48})
	accepted := func(n int) bool { return w.client.Accepted() >= n }
	w.await("there is load", func() bool { return accepted(200) })

	if err := w.ctl("set_vm_memory_high_watermark", "0"); err != nil {
		t.Fatal(err)
	}
	w.await("clients are refused", func() bool { return w.client.Answers("503") >= 100 })
	before := w.client.Accepted()
	refusals := w.client.Answers("503")
	w.await("all are refused", func() bool { return w.client.Answers("503") >= refusals+100 })
	if n := w.client.Accepted() - before; n > 0 {
		t.Errorf("%d events were accepted during the alarm", n)
	}
	if err := w.ctl("set_vm_memory_high_watermark", "0.4"); err != nil {
		t.Fatal(err)
	}
	before = w.client.Accepted()
	w.await("events are accepted again", func() bool { return accepted(before + 200) })
	stop()

	took := time.Duration(watch.nanoseconds.Load())
	t.Logf("the slowest 503 took %s", took)
	if took > limit || w.client.Answers("no answer") > 0 {
		t.Errorf("a client waited %s for its 503, %d for nothing; want a second, here at most %s", took, w.client.Answers("no answer"), limit)
	}
	v := w.settled(w.client.Ledger)
	w.report(t, v)
	if v.Accepted != v.Sent {
		t.Errorf("%d of %d events were accepted in the end", v.Accepted, v.Sent)
	}
}
