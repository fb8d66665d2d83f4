package operations

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// tap is a relay on the loopback that keeps every byte that passes it, both ways.
type tap struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu      sync.Mutex
	passed  bytes.Buffer
	pairs   []net.Conn
	stopped bool
}

func newTap(t *testing.T, host string, port int) *tap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{listener: listener, target: net.JoinHostPort(host, strconv.Itoa(port))}
	p.running.Go(p.accept)
	t.Cleanup(p.stop)
	return p
}

// port is where clients find it.
func (p *tap) port() string {
	_, port, _ := net.SplitHostPort(p.listener.Addr().String())
	return port
}

func (p *tap) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !p.keep(client, server) {
			return
		}
		p.running.Go(func() { p.pass(client, server) })
		p.running.Go(func() { p.pass(server, client) })
	}
}

func (p *tap) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		for _, c := range conns {
			_ = c.Close()
		}
		return false
	}
	p.pairs = append(p.pairs, conns...)
	return true
}

// pass copies one direction, and ends both with it.
func (p *tap) pass(from, to net.Conn) {
	_, _ = io.Copy(io.MultiWriter(to, p), from)
	_ = errors.Join(from.Close(), to.Close())
}

// Write keeps what passes.
func (p *tap) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed.Write(b)
}

// saw reports whether a text passed by, and how many bytes did.
func (p *tap) saw(text string) (bool, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Contains(p.passed.Bytes(), []byte(text)), p.passed.Len()
}

func (p *tap) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.stopped = true
	for _, c := range p.pairs {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}
