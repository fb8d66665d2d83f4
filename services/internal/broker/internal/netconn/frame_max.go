package netconn

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"net"
	"sync/atomic"
)

// LargeFrameConn is for connections that read messages and publish none: it lets the client read
// frames that are larger than the frame_max that it agrees on with the broker. RabbitMQ sends such
// frames: a message's headers are never split (rabbitmq-server issue 921, and erratum 11 of
// RabbitMQ's errata of AMQP 0-9-1), it takes them with 8 bytes more than frame_max allows, and adds
// to them what it counts (x-delivery-count, x-death). The client library ends the connection at
// such a frame, and the message goes back to the front of the queue: whoever may publish one could
// stop every consumer with it.
//
// So the client is told of a larger frame_max than the broker named (connection.tune), and the
// broker hears its own back (connection.tune-ok). Nothing else is touched.
//
// It can go when RabbitMQ sends no frame that is larger than frame_max, or amqp091-go reads such
// frames.
type LargeFrameConn struct {
	net.Conn
	rest  []byte                  // of a frame of the handshake, not yet read; only Read uses it
	tuned bool                    // connection.tune has passed, or will not come; only Read uses it
	named atomic.Pointer[[4]byte] // the broker's own frame_max, to be given back; nil: not yet, or done
}

// NewLargeFrameConn wraps a connection that is about to shake hands.
func NewLargeFrameConn(conn net.Conn) *LargeFrameConn { return &LargeFrameConn{Conn: conn} }

// extraSize is how much larger a frame may be: a few counters, and a copy of the routing keys (CC)
// for each reason to dead-letter that RabbitMQ knows.
const extraSize = 1 << 20

var (
	methodTune   = []byte{0, 10, 0, 30} // class connection and its method
	methodTuneOK = []byte{1, 0, 0, 0, 0, 0, 12, 0, 10, 0, 31}
)

// The frame of either: type, channel and size (7 bytes), class and method (4), channel_max (2),
// frame_max (4), heartbeat (2), end (1).
const (
	tuneSize   = 12
	frameMaxAt = 13
)

// Read gives frame by frame until connection.tune.
func (c *LargeFrameConn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.tuned {
			return c.Conn.Read(p)
		}
		if err := c.readFrame(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// readFrame reads a frame of the handshake into rest.
func (c *LargeFrameConn) readFrame() error {
	frame := make([]byte, frameHeader, 1024)
	if n, err := io.ReadFull(c.Conn, frame); err != nil {
		if n == 0 {
			return err
		}
		c.rest, c.tuned = frame[:n], true // the next Read meets the error again
		return nil
	}
	size := binary.BigEndian.Uint32(frame[3:])
	if frame[0] != frameMethod || size > extraSize { // another protocol: the client says so
		c.rest, c.tuned = frame, true
		return nil
	}
	frame = append(frame, make([]byte, size+1)...)
	if n, err := io.ReadFull(c.Conn, frame[frameHeader:]); err != nil {
		c.rest, c.tuned = frame[:frameHeader+n], true
		return nil //nolint:nilerr // as above
	}
	if size == tuneSize && bytes.HasPrefix(frame[frameHeader:], methodTune) {
		c.tuned = true
		at := frame[frameMaxAt : frameMaxAt+4]
		named := [4]byte(at)
		c.named.Store(&named)
		if limit := binary.BigEndian.Uint32(at); limit > 0 { // 0: none
			binary.BigEndian.PutUint32(at, min(limit, math.MaxUint32-extraSize)+extraSize)
		}
	}
	c.rest = frame
	return nil
}

// Write gives the broker its own frame_max back. The client flushes each frame of the handshake, so
// that none is in two writes.
func (c *LargeFrameConn) Write(p []byte) (int, error) {
	named := c.named.Load()
	if named == nil {
		return c.Conn.Write(p)
	}
	at := bytes.Index(p, methodTuneOK)
	if at < 0 || len(p) < at+frameMaxAt+4 {
		return c.Conn.Write(p)
	}
	c.named.Store(nil)
	p = bytes.Clone(p)
	copy(p[at+frameMaxAt:], named[:])
	return c.Conn.Write(p)
}
