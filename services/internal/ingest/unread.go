package ingest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/trailpost/trailpost/services/internal/linger"
)

// unreadGrace is how long the rest of a small body may take that net/http reads before it
// sends the answer (256 KiB at most, so that the connection can be used again).
const unreadGrace = time.Second

// leave is for an answer to a request whose body, if it has one, is not read to its end: the
// connection lingers, unless it goes on. For whom it counts is decided as for rate limits. HTTP/2
// needs none of it: a stream is reset with NO_ERROR after its answer (RFC 9113, 8.1).
func (h *handler) leave(c *gin.Context) {
	r := c.Request
	if r.Body == http.NoBody || r.ProtoMajor != 1 {
		return
	}
	if conn, ok := r.Context().Value(connOfRequest{}).(*linger.Conn); ok {
		conn.Leave(clientAddress(r, h.trustedProxies))
	}
	// An error means that there is no deadline to move.
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(unreadGrace))
}

type connOfRequest struct{}

// withConn is an http.Server's ConnContext.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connOfRequest{}, lingering(conn))
}

// keepIdle is an http.Server's ConnState: a connection is idle between requests once the
// last one's body was read to its end.
func keepIdle(conn net.Conn, state http.ConnState) {
	if c := lingering(conn); c != nil && state == http.StateIdle {
		c.Keep()
	}
}

// lingering finds the connection below TLS and others; nil if it is of another kind.
func lingering(conn net.Conn) *linger.Conn {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	jittered, _ := conn.(jitterConn)
	return jittered.Conn
}
