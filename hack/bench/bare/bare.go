// Package bare is a server with the producer's requests and answers and nothing between them: the limit
// that the producer is compared with.
package bare

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/trailpost/trailpost/hack/bench/workload"
)

// queue is where events go.
const queue = "log_queue"

// Variable in the environment makes this program a bare HTTP server at an address and, if a URL follows, of a broker.
const Variable = "TRAILPOST_BENCH_BARE"

// Serve answers as the producer does and does nothing else: what is left of a machine's time when Go's HTTP server,
// the kernel and the load have had theirs. With a broker it answers when that has confirmed the event.
func Serve(where string) error {
	addr, brokerURL, withBroker := strings.Cut(where, " ")
	accept := func() {}
	failed := make(chan error, 1)
	if withBroker {
		commits, err := newGroupCommit(brokerURL)
		if err != nil {
			return err
		}
		accept = commits.add
		go func() { failed <- commits.run() }()
	}
	answer := []byte(`{"status":"accepted","message":"The event is on the queue.","event_id":"` + strings.Repeat("0", 36) +
		`","timestamp":"2026-01-02T03:04:05.678901Z"}` + "\n")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /metrics", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /log", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			return
		}
		accept()
		w.Header().Set("Content-Type", workload.MediaArray)
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(answer)
	})
	server := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { failed <- server.ListenAndServe() }()
	return <-failed
}
