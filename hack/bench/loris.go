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

	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/load"
	"github.com/trailpost/trailpost/hack/bench/service"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

// lorisVariable makes this program a slow-loris client of an address.
const lorisVariable = "TRAILPOST_BENCH_LORIS"

const (
	lorisConnections = 2000
	lorisMost        = lorisConnections * 99 / 100 // that are open at any time: each is ended at times, and opened anew
	lorisPause       = time.Second                 // between bytes of a connection
)

// lorisStarts are what its connections begin with, in turns. They never come to an end.
var lorisStarts = []string{
	"",                                       // nothing at all
	"P",                                      // half a method
	"POST /log HTTP/1.1\r\nHost: x\r\nX-A: ", // a header
	"POST /log HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n{\"a", // a body
	"POST /log/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
}

// slowLoris measures what single requests, at a third of their most, notice of 2,000 connections that were opened at once
// and dribble: without them, beside them, and without them again, each as long.
func slowLoris(ctx context.Context, b *bench, r *figures.Report) (err error) {
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop(), b.purge()) }()
	single := load.Request("/log", workload.MediaArray, workload.Request(1, "", workload.Payload))
	most, _, err := load.ClosedLoop(ctx, p.Addr, 64, b.duration, single)
	if err != nil {
		return err
	}
	others := func() (figures.Durations, error) { return load.OpenLoop(ctx, p.Addr, 64, most/3, 2*b.duration, single, nil) }
	before, err := others()
	if err != nil {
		return err
	}
	beside, err := b.besideLoris(ctx, p.Addr, others)
	if err != nil {
		return err
	}
	after, err := others()
	if err != nil {
		return err
	}
	r.AddLatencies("slow_loris.without", append(before, after...))
	r.AddLatencies("slow_loris.beside", beside)
	return nil
}

// besideLoris measures while the slow connections are open.
func (b *bench) besideLoris(ctx context.Context, addr string, measure func() (figures.Durations, error)) (latencies figures.Durations, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := service.FreePort()
	if err != nil {
		return nil, err
	}
	loris, err := b.run(ctx, service.Program{Binary: self, Port: port, Ready: "/readyz"}, []string{lorisVariable + "=127.0.0.1:" + port + " " + addr})
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
	open, err := loris.Metric("open")
	if err == nil && open < lorisMost {
		err = fmt.Errorf("%.0f slow connections were open, want %d", open, lorisMost)
	}
	return latencies, err
}

// serveLoris opens slow connections to a producer, anew when one is ended, and is ready when nearly all of them are open.
func serveLoris(where string) error {
	own, producer, _ := strings.Cut(where, " ")
	connections := make([]slowConnection, lorisConnections)
	open := func() (n int) {
		for i := range connections {
			if connections[i].conn.Load() != nil {
				n++
			}
		}
		return n
	}
	for i := range connections {
		go func() {
			for {
				connections[i].hold(producer, lorisStarts[i%len(lorisStarts)])
			}
		}()
	}
	go dribble(connections)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if open() < lorisMost {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "open", open()) })
	server := &http.Server{Addr: own, Handler: mux, ReadHeaderTimeout: time.Minute}
	return server.ListenAndServe()
}

// slowConnection is one of many.
type slowConnection struct {
	conn atomic.Pointer[net.Conn] // nil while it is not open
}

// hold opens the connection and waits until the producer ends it.
func (s *slowConnection) hold(producer, start string) {
	conn, err := net.Dial("tcp", producer) //nolint:gosec // the bench itself says where, in its own environment
	if err != nil {
		time.Sleep(lorisPause)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, start)
	s.conn.Store(&conn)
	defer s.conn.Store(nil)
	_, _ = io.Copy(io.Discard, conn)
}

// dribble sends a byte on each of the connections, in turn, in every pause: in one loop, as tools for it do, since what
// this program takes of the machine is missing to others as well.
func dribble(connections []slowConnection) {
	const slices = 100
	size := len(connections) / slices
	turns := time.NewTicker(lorisPause / slices)
	defer turns.Stop()
	for turn := 0; ; turn = (turn + 1) % slices {
		<-turns.C
		for i := range connections[turn*size : (turn+1)*size] {
			if conn := connections[turn*size+i].conn.Load(); conn != nil {
				_, _ = io.WriteString(*conn, "1")
			}
		}
	}
}
