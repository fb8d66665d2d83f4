package connection

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/netconn"
)

// DialTimeout is how long connecting and logging in may take.
const DialTimeout = 10 * time.Second

const (
	writeTimeout = 10 * time.Second
	closeTimeout = time.Second // how long the broker's part of closing is waited for
)

// Connection is one AMQP connection and the socket below it.
type Connection struct {
	*amqp.Connection
	socket net.Conn
}

// Dial connects and logs in, to publish or to ask. Those who read messages use [DialReader].
func Dial(ctx context.Context, cfg broker.Config) (*Connection, error) {
	return dial(ctx, cfg, nil)
}

// DialReader is Dial for those who read messages. wrap, if not nil, puts something more between the
// socket (or TLS) and the AMQP client.
func DialReader(ctx context.Context, cfg broker.Config, wrap func(net.Conn) net.Conn) (*Connection, error) {
	return dial(ctx, cfg, func(conn net.Conn) net.Conn {
		conn = netconn.NewLargeFrameConn(conn)
		if wrap != nil {
			conn = wrap(conn)
		}
		return conn
	})
}

// dial does not build an AMQP URI, so that a password of any characters works.
func dial(ctx context.Context, cfg broker.Config, wrap func(net.Conn) net.Conn) (*Connection, error) {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	socket, err := new(net.Dialer).DialContext(ctx, "tcp", cfg.Address())
	if err != nil {
		return nil, fmt.Errorf("connect to rabbitmq: %w", err)
	}
	var conn net.Conn = &netconn.WriteDeadline{Conn: socket, Timeout: writeTimeout}
	if cfg.TLS != nil {
		if conn, err = secure(ctx, cfg, conn); err != nil {
			_ = socket.Close()
			return nil, fmt.Errorf("connect to rabbitmq: TLS: %w", err)
		}
	}
	probe := &netconn.Probe{Conn: conn}
	conn = probe
	frameSize := 0 // the client's own, or the broker's where that is less
	if wrap != nil {
		conn = wrap(conn)
		frameSize = amqp.FrameSizeUnlimited // what LargeFrameConn names
	}
	// The client clears the deadline after its handshake. A broker that went silent within it must
	// not hold us, nor may a context that ended.
	deadline, _ := ctx.Deadline()
	_ = socket.SetReadDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = socket.Close() })
	defer stop()
	opened, err := amqp.Open(conn, amqp.Config{
		Vhost:      cfg.VHost,
		SASL:       []amqp.Authentication{&amqp.PlainAuth{Username: cfg.User, Password: cfg.Password}},
		Heartbeat:  cfg.Heartbeat,
		FrameSize:  frameSize,
		Locale:     "en_US",
		Properties: amqp.Table{"connection_name": cfg.Name, "product": "trailpost"},
	})
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("log in to rabbitmq as %q on vhost %q: %w", cfg.User, cfg.VHost, explainLogin(probe, cfg, err))
	}
	return &Connection{Connection: opened, socket: socket}, nil
}

// Kill ends the connection without asking the broker, which may not answer.
func (c *Connection) Kill() {
	_ = c.socket.Close()
	go func() { _ = c.CloseDeadline(time.Now().Add(closeTimeout)) }()
}

// Close says good-bye, but not for longer than a second.
func (c *Connection) Close() {
	if err := c.CloseDeadline(time.Now().Add(closeTimeout)); err != nil && !errors.Is(err, amqp.ErrClosed) {
		_ = c.socket.Close()
	}
}

// Ask runs ask on a channel of its own, since a refusal closes it, and gives up on a broker that
// doesn't answer.
func (c *Connection) Ask(ctx context.Context, ask func(*amqp.Channel) error) error {
	done := make(chan error, 1)
	go func() {
		ch, err := c.Channel()
		if err != nil {
			done <- fmt.Errorf("open channel: %w", err)
			return
		}
		err = ask(ch)
		_ = ch.Close()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
