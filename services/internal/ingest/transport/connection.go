package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"github.com/trailpost/trailpost/services/internal/linger"
)

type connOfRequest struct{}

// WithConn is for an http.Server's ConnContext: [ConnOf] finds the connection of a request by it.
func WithConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connOfRequest{}, lingering(conn))
}

// ConnOf returns the connection of a request; nil if it can't linger.
func ConnOf(r *http.Request) *linger.Conn {
	conn, _ := r.Context().Value(connOfRequest{}).(*linger.Conn)
	return conn
}

// KeepIdle is for an http.Server's ConnState: a connection is idle between requests once the body
// of the last one was read to its end.
func KeepIdle(conn net.Conn, state http.ConnState) {
	if c := lingering(conn); c != nil && state == http.StateIdle {
		c.Keep()
	}
}

// lingering finds the connection below TLS and the jitter; nil if it is of another kind.
func lingering(conn net.Conn) *linger.Conn {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	jittered, _ := conn.(jitterConn)
	return jittered.Conn
}
