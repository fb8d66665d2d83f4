package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// bareVariable makes this program a bare HTTP server at an address.
const bareVariable = "TRAILPOST_BENCH_BARE"

// serveBare answers as the producer does and does nothing else: what is left of a machine's time when Go's HTTP server,
// the kernel and the load have had theirs.
func serveBare(addr string) error {
	answer := []byte(`{"status":"accepted","message":"The event is on the queue.","event_id":"` + strings.Repeat("0", 36) +
		`","timestamp":"2026-01-02T03:04:05.678901Z"}` + "\n")
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /metrics", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /log", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			return
		}
		w.Header().Set("Content-Type", mediaArray)
		w.WriteHeader(http.StatusAccepted)
		_, _ = w.Write(answer)
	})
	server := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: time.Minute}
	return server.ListenAndServe()
}

// httpLimit is a bare HTTP server with the same requests and answers.
func httpLimit(ctx context.Context, b *bench, r *report) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	s, err := b.run(ctx, self, port, []string{bareVariable + "=127.0.0.1:" + port})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.cmd.Process.Kill())
		<-s.exited //nolint:errcheck // it tells of the kill
	}()
	for _, connections := range []int{64, 256} {
		name := fmt.Sprintf("limits.http_%d", connections)
		used, err := b.measureUse(s)
		if err != nil {
			return err
		}
		rate, latencies, err := closedLoop(ctx, s.addr, connections, b.duration, request("/log", mediaArray, requestEvent(1, "", payload)))
		if err != nil {
			return err
		}
		r.add(name+".rate", rate)
		r.addLatencies(name, latencies)
		if err := used.end(r, name, rate*(b.duration+warmUp).Seconds()); err != nil {
			return err
		}
	}
	return nil
}
