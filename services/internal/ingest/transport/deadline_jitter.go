package transport

import (
	"math/rand/v2"
	"net"
	"time"

	"github.com/trailpost/trailpost/services/internal/linger"
)

// MaxJitter is the most by which a read deadline is extended.
const MaxJitter = 5 * time.Second

// Jittered returns a listener whose connections have their read deadlines extended at random.
// Thousands of connections that were opened at once would otherwise end at once, and what their
// clients then cost by connecting again would delay the requests of others, at every such timeout.
func Jittered(l *linger.Listener) net.Listener { return jitterListener{l} }

type jitterListener struct{ net.Listener }

func (l jitterListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*linger.Conn); ok {
		return jitterConn{tcp}, err
	}
	return conn, err
}

// jitterConn keeps what net/http looks for in a TCP connection: CloseWrite and ReadFrom.
type jitterConn struct{ *linger.Conn }

func (c jitterConn) SetReadDeadline(t time.Time) error {
	return c.Conn.SetReadDeadline(jitter(t, time.Until(t)))
}

// jitter extends a deadline by up to half of the time that is left, and by at most MaxJitter. A
// zero or past deadline is returned unchanged.
func jitter(deadline time.Time, left time.Duration) time.Time {
	most := min(left/2, MaxJitter)
	if most <= 0 {
		return deadline
	}
	return deadline.Add(rand.N(most))
}
