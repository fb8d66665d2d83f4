package ingest

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trailpost/trailpost/services/internal/linger"
)

// A thousand are for a machine with nothing else to do: go test ./services/internal/ingest
// -run TestManyRefused -ingest.refused=1000 -v
var refusedFlag = flag.Int("ingest.refused", 100, "connections of TestManyRefused, two from each of half as many addresses; from 1000 on latencies count")

// Many clients are refused, over and over, and go on sending. Others are served meanwhile,
// and where latencies count, their p99 stays within five times of what it is without them.
func TestManyRefused(t *testing.T) {
	s := start(t, new(testPublisher), func(o *options) {
		o.config.Keys = keysOf(map[string]string{"tp_good": "good"})
	})
	var least time.Duration // that a measurement takes
	if *refusedFlag >= 1000 {
		least = 5 * time.Second
	}
	const workers = 4
	s.client.Transport.(*http.Transport).MaxIdleConnsPerHost = workers
	others := func() (p99 time.Duration) {
		var mu sync.Mutex
		var took []time.Duration
		var running sync.WaitGroup
		start := time.Now()
		for range workers {
			running.Go(func() {
				for i := 0; i < 100 || time.Since(start) < least; i++ {
					began := time.Now()
					s.accepts(t)
					mu.Lock()
					took = append(took, time.Since(began))
					mu.Unlock()
				}
			})
		}
		running.Wait()
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	others() // connections and code are warm then

	without := others()
	stop := sendRefused(t, s, *refusedFlag)
	beside := others()
	stop()
	without = max(without, others())
	t.Logf("p99 without %s, beside %d connections %s", without, *refusedFlag, beside)
	if *refusedFlag >= 1000 && beside > 5*without {
		t.Error("that is more than five times as long")
	}
	for _, o := range []linger.Outcome{linger.Read, linger.Cut, linger.Refused} {
		t.Logf("%s: %v", o, testutil.ToFloat64(s.metrics.unreadRequests.WithLabelValues(string(o))))
	}
	if n := testutil.ToFloat64(s.metrics.unreadRequests.WithLabelValues(string(linger.Read))); n == 0 {
		t.Error("no connection lingered")
	}
	if used := s.budgetUsed(t); used != 0 {
		t.Errorf("%d bytes stay charged", used)
	}
}

// accepts posts a good event.
func (s *service) accepts(t *testing.T) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+"/log", strings.NewReader(good))
	if err != nil {
		t.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer tp_good")
	res, err := s.client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusAccepted {
		t.Errorf("beside the refused: %s %s, %v", res.Status, body, err)
	}
}

// sendRefused keeps so many connections busy with requests that are refused, from half as many addresses.
// Of four, one dribbles and three send all that they have.
func sendRefused(t *testing.T, s *service, connections int) (stop func()) {
	t.Helper()
	const size = 3_000_000
	head := fmt.Sprintf("POST /log HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
	body := bytes.Repeat([]byte(" "), size)
	stopping := make(chan struct{})
	var running sync.WaitGroup
	for i := range connections {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/2/250), byte(1+i/2%250))}}
		running.Go(func() {
			time.Sleep(rand.N(time.Second))
			for {
				if conn, err := dialer.Dial("tcp", s.Addr().String()); err == nil {
					_, _ = io.WriteString(conn, head)
					if i%4 != 0 {
						_, _ = conn.Write(body) // the server may have its hands full
					} else {
						dribbleUntil(conn, stopping)
					}
					_ = conn.SetReadDeadline(time.Now().Add(time.Second))
					_, _ = io.Copy(io.Discard, conn)
					conn.Close()
				}
				select {
				case <-stopping:
					return
				case <-time.After(100*time.Millisecond + rand.N(time.Second)):
				}
			}
		})
	}
	for deadline := time.Now().Add(time.Minute); s.refused() < connections/2; {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections were refused, want %d", s.refused(), connections)
		}
		time.Sleep(time.Millisecond)
	}
	return func() { close(stopping); running.Wait() }
}

// refused is how many connections linger, or had a reason to.
func (s *service) refused() int {
	n := float64(s.listener.Lingering())
	for _, o := range []linger.Outcome{linger.Read, linger.Cut, linger.Refused} {
		n += testutil.ToFloat64(s.metrics.unreadRequests.WithLabelValues(string(o)))
	}
	return int(n)
}

func dribbleUntil(conn net.Conn, stop <-chan struct{}) {
	for {
		if _, err := io.WriteString(conn, " "); err != nil {
			return
		}
		select {
		case <-stop:
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
}
