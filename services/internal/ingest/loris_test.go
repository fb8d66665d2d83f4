package ingest

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

// Hundreds of connections that dribble, a byte at a time, a header or a body, forever:
// others are served meanwhile, and each of them is ended by the server. What they cost
// the others is in hack/bench.
func TestSlowLoris(t *testing.T) {
	const dribblers = 400
	p := new(testPublisher)
	s := start(t, p, func(o *options) {
		o.config.ReadTimeout = 2 * time.Second
	})
	starts := []string{
		"",                                       // nothing at all
		"P",                                      // half a method
		"POST /log HTTP/1.1\r\nHost: x\r\nX-A: ", // a header without end
		"POST /log HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n{\"a", // a body
		"POST /log/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
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
			dribble(conn, starts[i%len(starts)], 50*time.Millisecond)
			ended <- struct{}{}
		})
	}
	beside := 0
	for len(ended) < dribblers {
		if got := s.post(t, "/log", good); got.status != http.StatusAccepted {
			t.Fatalf("a client beside them: %d %s", got.status, got.body)
		}
		beside++
	}
	running.Wait()
	if n := len(p.published()); n != beside || beside == 0 {
		t.Errorf("published %d, accepted %d", n, beside)
	}
	waitFor(t, func() bool { return s.budgetUsed(t) == 0 })
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
