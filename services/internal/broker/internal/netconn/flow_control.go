package netconn

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// ReadWindow stops reading from the broker while too many bytes of messages lie between the socket
// and the worker. Prefetch counts messages, of which one can be a thousand times the size of
// another; this bounds memory.
//
// It reads the frames that pass, since only message bodies count: what it adds for a delivery is
// exactly what [ReadWindow.Release] takes away.
//
// It can go when RabbitMQ has a prefetch that counts bytes (basic.qos has a field for it, which
// RabbitMQ refuses).
type ReadWindow struct {
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

	// idle is how long the client lets the broker be silent: its latest deadline, less the time at
	// which it was set.
	idle time.Duration
}

// NewReadWindow returns a window of so many bytes.
func NewReadWindow(conn net.Conn, limit int) *ReadWindow {
	w := &ReadWindow{Conn: conn, limit: limit}
	w.passed = sync.NewCond(&w.mu)
	return w
}

// Read waits until no more than the limit is unreleased.
func (w *ReadWindow) Read(p []byte) (int, error) {
	if w.wait() {
		// The wait was not the broker's silence: the client's deadline starts again.
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
func (w *ReadWindow) wait() (waited bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.level > w.limit && !w.lifted && !w.closed {
		waited = true
		w.passed.Wait()
	}
	return waited
}

// scan follows the frames through p and returns how much of it is bodies.
func (w *ReadWindow) scan(p []byte) (bodies int) {
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

// Release says that the worker has taken n bytes of bodies.
func (w *ReadWindow) Release(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.level -= n
	w.passed.Signal()
}

// Lift lets everything pass, or no longer: while the worker waits for an answer of the broker's,
// that answer must come through.
func (w *ReadWindow) Lift(lifted bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lifted = lifted
	w.passed.Signal()
}

// Level returns how many bytes are unreleased.
func (w *ReadWindow) Level() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.level
}

// SetReadDeadline keeps what the client wants for after a wait.
func (w *ReadWindow) SetReadDeadline(t time.Time) error {
	w.mu.Lock()
	w.idle = 0
	if !t.IsZero() {
		w.idle = time.Until(t)
	}
	w.mu.Unlock()
	return w.Conn.SetReadDeadline(t)
}

// SetDeadline is for both directions.
func (w *ReadWindow) SetDeadline(t time.Time) error {
	if err := w.SetReadDeadline(t); err != nil {
		return err
	}
	return w.Conn.SetWriteDeadline(t)
}

// Close lets a waiting Read go.
func (w *ReadWindow) Close() error {
	w.mu.Lock()
	w.closed = true
	w.passed.Signal()
	w.mu.Unlock()
	return w.Conn.Close()
}
