package ingest

import (
	"math/rand/v2"
	"net"
	"time"

	"github.com/trailpost/trailpost/services/internal/linger"
)

// maxSpread is the most by which a read deadline is put off.
const maxSpread = 5 * time.Second

// spreadListener accepts connections whose read deadlines are put off by chance. Thousands
// that were opened at once would otherwise be ended at once, and their clients' opening
// them anew is work that others' requests stand behind, again and again at that timeout.
type spreadListener struct{ net.Listener }

func (l spreadListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*linger.Conn); ok {
		return spreadConn{tcp}, err
	}
	return conn, err
}

// spreadConn keeps what net/http looks for in a TCP connection: CloseWrite and ReadFrom.
type spreadConn struct{ *linger.Conn }

func (c spreadConn) SetReadDeadline(t time.Time) error {
	return c.Conn.SetReadDeadline(spread(t, time.Until(t)))
}

// spread puts a deadline off by up to half of the time that is left, and maxSpread at
// most. One that has passed, or is none, stays.
func spread(deadline time.Time, left time.Duration) time.Time {
	room := min(left/2, maxSpread)
	if room <= 0 {
		return deadline
	}
	return deadline.Add(rand.N(room))
}
