package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// lorisVariable makes this program a slow-loris client of an address.
const lorisVariable = "TRAILPOST_BENCH_LORIS"

const (
	lorisConnections = 2000
	lorisPause       = time.Second // between bytes of a connection
)

// lorisStarts are what its connections begin with, in turns. They never come to an end.
var lorisStarts = []string{
	"",                                       // nothing at all
	"P",                                      // half a method
	"POST /log HTTP/1.1\r\nHost: x\r\nX-A: ", // a header
	"POST /log HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n{\"a", // a body
	"POST /log/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
}

// slowLoris measures what single requests, at a third of their most, notice of 2,000 connections that dribble: without
// them, beside them, and without them again, each as long.
func slowLoris(ctx context.Context, b *bench, r *report) (err error) {
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(), b.purge()) }()
	single := request("/log", mediaArray, requestEvent(1, "", payload))
	most, _, err := closedLoop(ctx, p.addr, 64, b.duration, single)
	if err != nil {
		return err
	}
	others := func() (durations, error) { return openLoop(ctx, p.addr, 64, most/3, 2*b.duration, single, nil) }
	before, err := others()
	if err != nil {
		return err
	}
	beside, err := b.besideLoris(ctx, p.addr, others)
	if err != nil {
		return err
	}
	after, err := others()
	if err != nil {
		return err
	}
	r.addLatencies("slow_loris.without", append(before, after...))
	r.addLatencies("slow_loris.beside", beside)
	return nil
}

// besideLoris measures while all of the slow connections are open.
func (b *bench) besideLoris(ctx context.Context, addr string, measure func() (durations, error)) (latencies durations, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	loris, err := b.run(ctx, self, port, []string{lorisVariable + "=127.0.0.1:" + port + " " + addr})
	if err != nil {
		return nil, err
	}
	defer func() {
		err = errors.Join(err, loris.cmd.Process.Kill())
		<-loris.exited //nolint:errcheck // it tells of the kill
	}()
	if latencies, err = measure(); err != nil {
		return nil, err
	}
	open, err := loris.metric("open")
	if err == nil && open < lorisConnections*9/10 { // each is ended at times, and opened anew
		err = fmt.Errorf("%.0f slow connections were open, want %d", open, lorisConnections)
	}
	return latencies, err
}

// serveLoris opens slow connections to a producer, anew when one is ended, and is ready when all of them are open.
func serveLoris(where string) error {
	own, producer, _ := strings.Cut(where, " ")
	var open atomic.Int64
	for i := range lorisConnections {
		go func() {
			for {
				dribble(producer, lorisStarts[i%len(lorisStarts)], &open)
			}
		}()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if open.Load() < lorisConnections {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "open", open.Load()) })
	server := &http.Server{Addr: own, Handler: mux, ReadHeaderTimeout: time.Minute}
	return server.ListenAndServe()
}

// dribble sends a byte now and then until the producer ends the connection.
func dribble(producer, start string, open *atomic.Int64) {
	conn, err := net.Dial("tcp", producer)
	if err != nil {
		time.Sleep(lorisPause)
		return
	}
	defer conn.Close()
	open.Add(1)
	defer open.Add(-1)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = io.Copy(io.Discard, conn)
	}()
	_, _ = io.WriteString(conn, start)
	pause := time.NewTicker(lorisPause)
	defer pause.Stop()
	for {
		select {
		case <-over:
			return
		case <-pause.C:
			_, _ = io.WriteString(conn, "1")
		}
	}
}
