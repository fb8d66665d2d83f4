// Package loris is a client of thousands of slow connections.
package loris

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// Variable in the environment makes this program a slow-loris client of an address.
const Variable = "TRAILPOST_BENCH_LORIS"

const (
	connectionCount = 2000
	Most            = connectionCount * 99 / 100 // that are open at any time: each is ended at times, and opened again
	pause           = time.Second                // between bytes of a connection
)

// starts are what its connections begin with, in turns. They never come to an end.
var starts = []string{
	"",                                       // nothing at all
	"P",                                      // half a method
	"POST /log HTTP/1.1\r\nHost: x\r\nX-A: ", // a header
	"POST /log HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200000\r\n\r\n{\"a", // a body
	"POST /log/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
}

// Serve opens slow connections to a producer, again when one is ended, and is ready when nearly all of them are open.
func Serve(where string) error {
	own, producer, _ := strings.Cut(where, " ")
	connections := make([]slowConnection, connectionCount)
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
				connections[i].hold(producer, starts[i%len(starts)])
			}
		}()
	}
	go dribble(connections)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if open() < Most {
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
	conn, err := net.Dial("tcp", producer)
	if err != nil {
		time.Sleep(pause)
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
	turns := time.NewTicker(pause / slices)
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
