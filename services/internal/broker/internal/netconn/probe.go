package netconn

import (
	"net"
	"sync/atomic"
)

// Probe remembers of a connection what the AMQP client's errors do not say: how it began, and how
// it ended. A failed login can be explained by it.
//
// It can go when amqp091-go's errors of the handshake wrap the cause, and say which bytes came in
// place of a frame.
type Probe struct {
	net.Conn
	first  atomic.Int32 // the first byte that was read, plus 1; 0: none
	failed atomic.Pointer[error]
}

func (p *Probe) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 && p.first.Load() == 0 {
		p.first.Store(int32(b[0]) + 1)
	}
	if err != nil {
		p.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// First returns the first byte that was read; ok is false if none was.
func (p *Probe) First() (first byte, ok bool) {
	n := p.first.Load()
	return byte(n - 1), n > 0 //nolint:gosec // a byte plus 1
}

// Err returns the first error of a Read; nil if there was none.
func (p *Probe) Err() error {
	if err := p.failed.Load(); err != nil {
		return *err
	}
	return nil
}
