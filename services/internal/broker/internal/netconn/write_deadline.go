package netconn

import (
	"net"
	"time"
)

// WriteDeadline gives every write a deadline: the client library sets none, and a peer that stops
// reading would hold publishers for ever.
//
// It can go when amqp091-go sets a deadline for its writes.
type WriteDeadline struct {
	net.Conn
	Timeout time.Duration
}

func (c *WriteDeadline) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.Timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
