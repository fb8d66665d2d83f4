package broker

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// gate stops reading from the broker while too many bytes of messages lie
// between the socket and the worker. Prefetch counts messages, of which one can be
// a thousand times the size of another; this bounds memory.
//
// It reads the frames that pass, since only message bodies count: what it adds
// for a delivery is exactly what [gate.release] takes away.
type gate struct {
	net.Conn

	mu     sync.Mutex
	passed *sync.Cond // level or lifted changed
	level  int        // bytes of bodies read from the broker and not released
	limit  int
	lifted bool // let everything pass
	closed bool

	// The frame that passes; only Read uses these.
	header  [frameHeader]byte
	have    int // bytes of header
	payload int // bytes to come of payload and the frame's end
	body    bool

	// idle is how long the client lets the broker be silent: its latest
	// deadline, less the time at which it was set.
	idle time.Duration
}

// frameHeader is an AMQP frame's type (1 byte), channel (2) and size (4); the payload
// and one byte more follow.
const (
	frameHeader = 7
	frameBody   = 3 // type of a frame with part of a message's body
)

func newGate(conn net.Conn, limit int) *gate {
	g := &gate{Conn: conn, limit: limit}
	g.passed = sync.NewCond(&g.mu)
	return g
}

// Read waits until less than the limit is in hand.
func (g *gate) Read(p []byte) (int, error) {
	if g.wait() {
		// The time at the gate is not the broker's silence: the client's
		// deadline starts anew.
		g.mu.Lock()
		idle := g.idle
		g.mu.Unlock()
		if idle > 0 {
			_ = g.Conn.SetReadDeadline(time.Now().Add(idle))
		}
	}
	n, err := g.Conn.Read(p)
	if bodies := g.scan(p[:n]); bodies > 0 {
		g.mu.Lock()
		g.level += bodies
		g.mu.Unlock()
	}
	return n, err
}

// wait reports whether it had to wait.
func (g *gate) wait() (waited bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.level > g.limit && !g.lifted && !g.closed {
		waited = true
		g.passed.Wait()
	}
	return waited
}

// scan follows the frames through p and returns how much of it is bodies.
func (g *gate) scan(p []byte) (bodies int) {
	for len(p) > 0 {
		if g.payload == 0 {
			n := copy(g.header[g.have:], p)
			p = p[n:]
			if g.have += n; g.have < frameHeader {
				return bodies
			}
			g.have = 0
			g.body = g.header[0] == frameBody
			g.payload = int(binary.BigEndian.Uint32(g.header[3:])) + 1
			continue
		}
		n := min(g.payload, len(p))
		if g.body {
			bodies += n
			if n == g.payload {
				bodies-- // the frame's end
			}
		}
		g.payload -= n
		p = p[n:]
	}
	return bodies
}

// release says that n bytes of bodies are in the worker's hands.
func (g *gate) release(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.level -= n
	g.passed.Signal()
}

// lift lets everything pass, or no longer: while the worker waits for an
// answer of the broker's, that answer must come through.
func (g *gate) lift(lifted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lifted = lifted
	g.passed.Signal()
}

// SetReadDeadline keeps what the client wants for after a wait.
func (g *gate) SetReadDeadline(t time.Time) error {
	g.mu.Lock()
	g.idle = 0
	if !t.IsZero() {
		g.idle = time.Until(t)
	}
	g.mu.Unlock()
	return g.Conn.SetReadDeadline(t)
}

// SetDeadline is for both directions.
func (g *gate) SetDeadline(t time.Time) error {
	if err := g.SetReadDeadline(t); err != nil {
		return err
	}
	return g.Conn.SetWriteDeadline(t)
}

// Close lets a waiting Read go.
func (g *gate) Close() error {
	g.mu.Lock()
	g.closed = true
	g.passed.Signal()
	g.mu.Unlock()
	return g.Conn.Close()
}
