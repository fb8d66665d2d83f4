package ingest

import (
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"
)

// newRecorder asks a handler without a server.
func newRecorder(h http.Handler, method, path string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(method, path, http.NoBody))
	return answer
}

var loris = flag.Int("loris", 400, "connections of the slow-loris test")

// Hundreds of connections that dribble, a byte at a time, a header or a body, forever:
// others are served meanwhile, and each of them is ended by the server.
func TestSlowLoris(t *testing.T) {
	dribblers := *loris
	p := new(testPublisher)
	s := start(t, p, func(o *options) {
		o.config.ReadTimeout, o.server.ReadTimeout = 2*time.Second, 2*time.Second
	})
	starts := []string{
		"",                                       // nothing at all
		"P",                                      // half a method
		"POST /log HTTP/1.1\r\nHost: x\r\nX-A: ", // a header without end
		"POST /log HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n{\"a", // a body
		"POST /log/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
	}
	// serve is how long a request beside them takes.
	serve := func() time.Duration {
		began := time.Now()
		if got := s.post(t, "/log", good); got.status != http.StatusAccepted {
			t.Fatalf("a client beside them: %d %s", got.status, got.body)
		}
		return time.Since(began)
	}
	var before, beside []time.Duration
	for range 1000 {
		before = append(before, serve())
	}
	var running sync.WaitGroup
	ended := make(chan struct{}, dribblers)
	for i := range dribblers {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		running.Go(func() {
			// 8,000 bytes a second of all together: their number counts here, not what they send.
			dribble(conn, starts[i%len(starts)], time.Duration(dribblers)*time.Second/8000)
			ended <- struct{}{}
		})
	}
	for len(ended) < dribblers {
		beside = append(beside, serve())
	}
	running.Wait()
	if n := len(p.published()); n != len(before)+len(beside) || len(beside) == 0 {
		t.Errorf("published %d, accepted %d and %d", n, len(before), len(beside))
	}
	t.Logf("p99 of %d requests alone %s, of %d beside %d connections that dribble %s",
		len(before), p99(before), len(beside), dribblers, p99(beside))
	waitFor(t, func() bool { return s.budgetUsed(t) == 0 })
}

// p99 is what 99 of 100 requests took at most.
func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}

// dribble sends a byte now and then until the server ends the connection.
func dribble(conn net.Conn, start string, pause time.Duration) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, conn) // to the server's end of it
	}()
	_, _ = io.WriteString(conn, start)
	for {
		select {
		case <-over:
			return
		case <-time.After(pause):
			_, _ = io.WriteString(conn, "1")
		}
	}
}
