package linger

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what is spent on clients that were refused. Beyond them connections are closed at
// once.
type Limits struct {
	Bytes int64         // that are discarded on one connection
	Time  time.Duration // that one connection takes
	// Connections is how many may linger at once, and PerClient how many of one client's.
	Connections, PerClient int
	// Rate is how many bytes a second are discarded on all connections together: a client that
	// floods the server waits, and others are served.
	Rate int
}

// Defaults are the limits of all our servers. A client whose request is ten times too large still
// reads so; 64 connections cost 4 MiB, and on each of them, all at once, 5 MB can be sent.
var Defaults = Limits{Bytes: 32 << 20, Time: 5 * time.Second, Connections: 64, PerClient: 2, Rate: 64 << 20}

// chunk is how much is read at once.
const chunk = 64 << 10

// Outcome is what became of a connection that had more to read.
type Outcome string

// The outcomes.
const (
	Read    Outcome = "read"    // all that the client sent was read
	Cut     Outcome = "cut"     // the client still sent at a limit of bytes or time, or at the server's end
	Refused Outcome = "refused" // too many lingered already: it was closed at once
)

// Listener accepts connections that linger.
type Listener struct {
	net.Listener
	limits  Limits
	onEnd   func(Outcome)
	rate    *rate.Limiter
	ending  context.Context // is done when nothing may linger any more
	end     context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex // guards below
	ended   bool
	open    map[*Conn]struct{}
	clients map[string]int
}

// Listen makes the connections of a TCP listener linger. onEnd gets the outcome of each that had
// to, and may be nil.
func Listen(listener net.Listener, limits Limits, onEnd func(Outcome)) *Listener {
	l := &Listener{
		Listener: listener, limits: limits, onEnd: onEnd,
		rate: rate.NewLimiter(rate.Limit(limits.Rate), limits.Rate/8),
		open: make(map[*Conn]struct{}), clients: make(map[string]int),
	}
	l.ending, l.end = context.WithCancel(context.Background())
	return l
}

// Accept implements net.Listener. Each connection of a TCP listener is a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &Conn{TCPConn: tcp, listener: l}, err
	}
	return conn, err
}

// End waits until no connection lingers, for at most the given time and until ctx ends; it then
// closes those that are left. None lingers afterwards.
func (l *Listener) End(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		l.end()
		l.mu.Lock()
		defer l.mu.Unlock()
		for c := range l.open {
			_ = c.TCPConn.Close()
		}
	})()
	l.running.Wait()
	l.end()
}

// Lingering returns how many connections linger now.
func (l *Listener) Lingering() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// take discards what comes on a connection, and then closes it, in the background. It reports
// whether it does so: the limits may be reached.
func (l *Listener) take(c *Conn, client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || len(l.open) >= l.limits.Connections || l.clients[client] >= l.limits.PerClient {
		return false
	}
	l.open[c] = struct{}{}
	l.clients[client]++
	l.running.Go(func() {
		l.count(l.discard(c.TCPConn))
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, c)
		if l.clients[client]--; l.clients[client] == 0 {
			delete(l.clients, client)
		}
	})
	return true
}

func (l *Listener) count(o Outcome) {
	if l.onEnd != nil {
		l.onEnd(o)
	}
}

// discard reads to the end of what the client sends, and closes.
func (l *Listener) discard(conn *net.TCPConn) Outcome {
	defer conn.Close()
	_ = conn.CloseWrite() // an error means that the client has gone: reading will tell
	ctx, cancel := context.WithTimeout(l.ending, l.limits.Time)
	defer cancel()
	until, _ := ctx.Deadline()
	_ = conn.SetReadDeadline(until)
	buffer := make([]byte, chunk)
	for n := int64(0); n < l.limits.Bytes; {
		more, err := conn.Read(buffer)
		n += int64(more)
		switch {
		case err == nil && l.rate.WaitN(ctx, more) != nil:
			return Cut
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed):
			return Cut
		case err != nil:
			return Read
		}
	}
	return Cut
}
