package ingest

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Silent connections that were opened together are not ended together.
func TestSilentConnectionsEndOneByOne(t *testing.T) {
	const connections, timeout = 50, time.Second
	s := start(t, new(testPublisher), func(o *options) { o.config.ReadTimeout = timeout })
	round := func() time.Duration {
		var running sync.WaitGroup
		ends := make(chan time.Time, connections)
		for range connections {
			conn := dial(t, s)
			running.Go(func() { ends <- endOf(conn) })
		}
		running.Wait()
		close(ends)
		first, last := <-ends, time.Time{}
		for end := range ends {
			if end.Before(first) {
				first = end
			}
			if end.After(last) {
				last = end
			}
		}
		return last.Sub(first)
	}
	// A busy machine may see ends late, and so together.
	for range 10 {
		if round() > timeout/10 {
			return
		}
	}
	t.Errorf("%d connections were ended within %s of each other, ten times", connections, timeout/10)
}

// endOf waits until the server ends a connection.
func endOf(conn net.Conn) time.Time {
	_, _ = io.Copy(io.Discard, conn)
	return time.Now()
}
