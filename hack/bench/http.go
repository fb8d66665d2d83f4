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

	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/service"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

// bareVariable makes this program a bare HTTP server at an address and, if a URL follows, of a broker.
const bareVariable = "TRAILPOST_BENCH_BARE"

// serveBare answers as the producer does and does nothing else: what is left of a machine's time when Go's HTTP server,
// the kernel and the load have had theirs. With a broker it answers when that has confirmed the event.
func serveBare(where string) error {
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

// httpLimit is a bare HTTP server with the same requests and answers.
func httpLimit(ctx context.Context, b *bench, r *figures.Report) error {
	return b.bareHTTP(ctx, r, "limits.http", "")
}

// groupedLimit is the same one with a bare group commit behind it: what single events can reach at most, through
// net/http and one channel, if nothing is parsed, checked, identified, limited or measured.
func groupedLimit(ctx context.Context, b *bench, r *figures.Report) error {
	return errors.Join(b.bareHTTP(ctx, r, "limits.grouped", b.brokerURL), b.purge())
}

// bareHTTP measures the bare server; brokerURL may be "".
func (b *bench) bareHTTP(ctx context.Context, r *figures.Report, prefix, brokerURL string) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	port, err := service.FreePort()
	if err != nil {
		return err
	}
	s, err := b.run(ctx, service.Program{Binary: self, Port: port, Ready: "/readyz"}, []string{strings.TrimSpace(bareVariable + "=127.0.0.1:" + port + " " + brokerURL)})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.cmd.Process.Kill())
		<-s.exited //nolint:errcheck // it tells of the kill
	}()
	for _, connections := range []int{64, 256} {
		if err := b.postSingles(ctx, r, s, fmt.Sprintf("%s_%d", prefix, connections), connections); err != nil {
			return err
		}
	}
	return nil
}
