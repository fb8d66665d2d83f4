package broker

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// readWindow stops reading from the broker while too many bytes of messages lie
// between the socket and the worker. Prefetch counts messages, of which one can be
// a thousand times the size of another; this bounds memory.
//
// It reads the frames that pass, since only message bodies count: what it adds
// for a delivery is exactly what [readWindow.release] takes away.
type readWindow struct {
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

func newReadWindow(conn net.Conn, limit int) *readWindow {
	w := &readWindow{Conn: conn, limit: limit}
	w.passed = sync.NewCond(&w.mu)
	return w
}

// Read waits until less than the limit is in hand.
func (w *readWindow) Read(p []byte) (int, error) {
	if w.wait() {
		// The time at the window is not the broker's silence: the client's
		// deadline starts anew.
		w.mu.Lock()
		idle := w.idle
		w.mu.Unlock()
		if idle > 0 {
			_ = w.Conn.SetReadDeadline(time.Now().Add(idle))
		}
	}
	n, err := w.Conn.Read(p)
	if bodies := w.scan(p[:n]); bodies > 0 {
		w.mu.Lock()
		w.level += bodies
		w.mu.Unlock()
	}
	return n, err
}

// wait reports whether it had to wait.
func (w *readWindow) wait() (waited bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.level > w.limit && !w.lifted && !w.closed {
		waited = true
		w.passed.Wait()
	}
	return waited
}

// scan follows the frames through p and returns how much of it is bodies.
func (w *readWindow) scan(p []byte) (bodies int) {
	for len(p) > 0 {
		if w.payload == 0 {
			n := copy(w.header[w.have:], p)
			p = p[n:]
			if w.have += n; w.have < frameHeader {
				return bodies
			}
			w.have = 0
			w.body = w.header[0] == frameBody
			w.payload = int(binary.BigEndian.Uint32(w.header[3:])) + 1
			continue
		}
		n := min(w.payload, len(p))
		if w.body {
			bodies += n
			if n == w.payload {
				bodies-- // the frame's end
			}
		}
		w.payload -= n
		p = p[n:]
	}
	return bodies
}

// release says that n bytes of bodies are in the worker's hands.
func (w *readWindow) release(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.level -= n
	w.passed.Signal()
}

// lift lets everything pass, or no longer: while the worker waits for an
// answer of the broker's, that answer must come through.
func (w *readWindow) lift(lifted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lifted = lifted
	w.passed.Signal()
}

// SetReadDeadline keeps what the client wants for after a wait.
func (w *readWindow) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	w.idle = 0
	if !t.IsZero() {
		w.idle = time.Until(t)
	}
	w.mu.Unlock()
	return w.Conn.SetReadDeadline(t)
}

// SetDeadline is for both directions.
func (w *readWindow) SetDeadline(t time.Time) error {
	if err := w.SetReadDeadline(t); err != nil {
		return err
	}
	return w.Conn.SetWriteDeadline(t)
}

// Close lets a waiting Read go.
func (w *readWindow) Close() error {
	w.mu.Lock()
	w.closed = true
	w.passed.Signal()
	w.mu.Unlock()
	return w.Conn.Close()
}
