package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// connection is one AMQP connection and the socket below it.
type connection struct {
	*amqp.Connection
	socket net.Conn
}

// dial connects and logs in. wrap, if not nil, is for those who read messages: it may put
// something between the socket (or TLS) and the AMQP client, a largeFrameConn at least.
//
// It does not build an AMQP URI, so that a password of any characters works.
func dial(ctx context.Context, cfg Config, wrap func(net.Conn) net.Conn) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	socket, err := new(net.Dialer).DialContext(ctx, "tcp", cfg.address())
	if err != nil {
		return nil, fmt.Errorf("connect to rabbitmq: %w", err)
	}
	var conn net.Conn = &timedConn{Conn: socket}
	if cfg.TLS != nil {
		if conn, err = secure(ctx, cfg, conn); err != nil {
			_ = socket.Close()
			return nil, fmt.Errorf("connect to rabbitmq: TLS: %w", err)
		}
	}
	seen := &witness{Conn: conn}
	conn = seen
	frameSize := 0 // the client's own, or the broker's where that is less
	if wrap != nil {
		conn = wrap(conn)
		frameSize = amqp.FrameSizeUnlimited // what largeFrameConn names
	}
	// The client clears the deadline after its handshake. A broker that went
	// silent within it must not hold us, nor may a context that ended.
	deadline, _ := ctx.Deadline()
	_ = socket.SetReadDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()
	opened, err := amqp.Open(conn, amqp.Config{
		Vhost:      cfg.VHost,
		SASL:       []amqp.Authentication{&amqp.PlainAuth{Username: cfg.User, Password: cfg.Password}},
		Heartbeat:  cfg.heartbeat,
		FrameSize:  frameSize,
		Locale:     "en_US",
		Properties: amqp.Table{"connection_name": cfg.Name, "product": "trailpost"},
	})
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("log in to rabbitmq as %q on vhost %q: %w", cfg.User, cfg.VHost, seen.explain(cfg, err))
	}
	return &connection{Connection: opened, socket: socket}, nil
}

// kill ends the connection without asking the broker, which may not answer.
func (c *connection) kill() {
	_ = c.socket.Close()
	go func() { _ = c.Connection.CloseDeadline(time.Now().Add(time.Second)) }()
}

// close says good-bye, but not for longer than a second.
func (c *connection) close() {
	if err := c.Connection.CloseDeadline(time.Now().Add(time.Second)); err != nil && !errors.Is(err, amqp.ErrClosed) {
		_ = c.socket.Close()
	}
}

// timedConn gives every write a deadline: the client library sets none, and a
// peer that stops reading would park publishers for ever.
type timedConn struct{ net.Conn }

func (c *timedConn) Write(p []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
