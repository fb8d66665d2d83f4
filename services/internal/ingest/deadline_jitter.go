package ingest

import (
	"math/rand/v2"
	"net"
	"time"

	"github.com/trailpost/trailpost/services/internal/linger"
)

// maxJitter is the most by which a read deadline is put off.
const maxJitter = 5 * time.Second

// jitterListener accepts connections whose read deadlines are put off by chance. Thousands
// that were opened at once would otherwise be ended at once, and their clients' opening
// them anew is work that others' requests stand behind, again and again at that timeout.
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

// jitter puts a deadline off by up to half of the time that is left, and maxJitter at
// most. One that has passed, or is none, stays.
func jitter(deadline time.Time, left time.Duration) time.Time {
	room := min(left/2, maxJitter)
	if room <= 0 {
		return deadline
	}
	return deadline.Add(rand.N(room))
}
