package ingest

import (
	"flag"
	"fmt"
	"io"
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

// The number is 1000; make test takes fewer, on what may be a busy machine.
var refusedFlag = flag.Int("ingest.refused", 100, "connections of TestManyRefused, two from each of half as many addresses")

// Many clients that are refused, over and over, and go on sending: others are served
// meanwhile, and their p99 stays within five times of what it was without them. (On a busy
// machine latencies are anything: the best of some rounds counts.)
func TestManyRefused(t *testing.T) {
	s := start(t, new(testPublisher), func(o *options) {
		o.config.Keys = keysOf(map[string]string{"tp_good": "good"})
	})
	others := func() (p99 time.Duration) {
		var mu sync.Mutex
		var took []time.Duration
		var running sync.WaitGroup
		for range 4 {
			running.Go(func() {
				for range 100 {
					began := time.Now()
					got := s.do(t, http.MethodPost, "/log", good, "Authorization", "Bearer tp_good")
					if got.status != http.StatusAccepted {
						t.Errorf("beside them: %d %s", got.status, got.body)
					}
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

	const rounds = 5
	floor := time.Second // make test may have the machine to share
	if *refusedFlag >= 1000 {
		floor = 20 * time.Millisecond
	}
	for round := 1; ; round++ {
		without := others()
		stop := sendRefused(t, s, *refusedFlag)
		beside := others()
		stop()
		t.Logf("p99 without %s, beside %d connections %s", without, *refusedFlag, beside)
		if beside <= max(5*without, floor) {
			break
		}
		if round == rounds {
			t.Errorf("p99 was %s without them and %s beside, in the last of %d rounds", without, beside, rounds)
			break
		}
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

// sendRefused keeps so many connections busy with requests that are refused, from half as many addresses.
// Of four, one dribbles and three send all that they have.
func sendRefused(t *testing.T, s *service, connections int) (stop func()) {
	t.Helper()
	const size = 3_000_000
	head := fmt.Sprintf("POST /log HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
	body := strings.Repeat(" ", size)
	stopping := make(chan struct{})
	var running sync.WaitGroup
	for i := range connections {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/2/250), byte(1+i/2%250))}}
		running.Go(func() {
			for {
				if conn, err := dialer.Dial("tcp", s.Addr().String()); err == nil {
					_, _ = io.WriteString(conn, head)
					if i%4 == 0 {
						dribbleUntil(conn, stopping)
					} else {
						_, _ = io.WriteString(conn, body) // the server may have its hands full
					}
					_ = conn.SetReadDeadline(time.Now().Add(time.Second))
					_, _ = io.Copy(io.Discard, conn)
					conn.Close()
				}
				select {
				case <-stopping:
					return
				case <-time.After(100 * time.Millisecond):
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
		case <-time.After(50 * time.Millisecond):
		}
	}
}
