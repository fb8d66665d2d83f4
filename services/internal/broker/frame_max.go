package broker

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net"
	"sync/atomic"
)

// largeFrameConn is for connections that read messages and publish none: it lets the client read frames that are larger than the frame_max that it
// agrees on with the broker. RabbitMQ sends such frames: a message's headers are never
// split, it takes them with 8 bytes more than frame_max allows, and adds to them what it
// counts (x-delivery-count, x-death). The client library ends the connection at such a
// frame, and the message goes back to the front of the queue: whoever may publish one
// could stop every consumer with it.
//
// So the client is told of a larger frame_max than the broker named (connection.tune),
// and the broker hears its own back (connection.tune-ok). Nothing else is touched.
type largeFrameConn struct {
	net.Conn
	tuned  []byte // what is left of a frame of the handshake; only Read uses it
	plain  bool   // the handshake's part that matters has passed; only Read uses it
	answer atomic.Pointer[[4]byte]
}

// frameMaxExtra is how much larger a frame may be: a few counters, and a copy of the routing
// keys (CC) for each reason to dead-letter that RabbitMQ knows.
const frameMaxExtra = 1 << 20

var (
	methodTune   = []byte{0, 10, 0, 30} // class connection and its method
	methodTuneOK = []byte{1, 0, 0, 0, 0, 0, 12, 0, 10, 0, 31}
)

// The frame of either: type, channel and size (7 bytes), class and method (4),
// channel_max (2), frame_max (4), heartbeat (2), end (1).
const (
	tuneSize = 12
	frameMax = 13 // the place of frame_max
)

func newLargeFrameConn(conn net.Conn) *largeFrameConn { return &largeFrameConn{Conn: conn} }

// Read gives frame by frame until connection.tune.
func (c *largeFrameConn) Read(p []byte) (int, error) {
	if len(c.tuned) == 0 {
		if c.plain {
			return c.Conn.Read(p)
		}
		if err := c.handshake(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.tuned)
	c.tuned = c.tuned[n:]
	return n, nil
}

func (c *largeFrameConn) handshake() error {
	frame := make([]byte, frameHeader, 1024)
	if n, err := io.ReadFull(c.Conn, frame); err != nil {
		if n == 0 {
			return err
		}
		c.tuned, c.plain = frame[:n], true // the next Read meets the error again
		return nil
	}
	size := binary.BigEndian.Uint32(frame[3:])
	if frame[0] != 1 || size > frameMaxExtra { // another protocol: the client says so
		c.tuned, c.plain = frame, true
		return nil
	}
	frame = append(frame, make([]byte, size+1)...)
	if n, err := io.ReadFull(c.Conn, frame[frameHeader:]); err != nil {
		c.tuned, c.plain = frame[:frameHeader+n], true
		return nil //nolint:nilerr // as above
	}
	if size == tuneSize && bytes.HasPrefix(frame[frameHeader:], methodTune) {
		c.plain = true
		at := frame[frameMax : frameMax+4]
		was := [4]byte(at)
		c.answer.Store(&was)
		if limit := binary.BigEndian.Uint32(at); limit > 0 { // 0: none
			binary.BigEndian.PutUint32(at, min(limit, math.MaxUint32-frameMaxExtra)+frameMaxExtra)
		}
	}
	c.tuned = frame
	return nil
}

// Write gives the broker its own frame_max back. The client flushes each frame of the
// handshake, so that none is in two writes.
func (c *largeFrameConn) Write(p []byte) (int, error) {
	was := c.answer.Load()
	if was == nil {
		return c.Conn.Write(p)
	}
	at := bytes.Index(p, methodTuneOK)
	if at < 0 || len(p) < at+frameMax+4 {
		return c.Conn.Write(p)
	}
	c.answer.Store(nil)
	p = bytes.Clone(p)
	copy(p[at+frameMax:], was[:])
	return c.Conn.Write(p)
}
