package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// proxy stands in the way of connections to one server. Its methods are used by one
// goroutine.
//
// A broken proxy is replaced by a new one at the same address, and its connections end:
// toxiproxy can wait for ever when a toxic is taken off a connection that ends at that
// moment (seen with 2.5.0; that code is the same in 2.12.0).
type proxy struct {
	name   string
	inner  *toxiproxy.Proxy
	toxics int
}

func newProxy(t testing.TB, name, upstream string) *proxy {
	t.Helper()
	p := &proxy{name: name, inner: newToxiproxy(name, "127.0.0.1:0", upstream)}
	if err := p.inner.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.cut)
	return p
}

func newToxiproxy(name, listen, upstream string) *toxiproxy.Proxy {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	return toxiproxy.NewProxy(server, name, listen, upstream)
}

func (p *proxy) addr() string { return p.inner.Listen }

func (p *proxy) port() string {
	_, port, _ := net.SplitHostPort(p.inner.Listen)
	return port
}

// Directions of a connection, from who opened it.
const (
	toServer   = "upstream"
	fromServer = "downstream"
)

// stuck is how long toxiproxy may take for what takes no time.
const stuck = 5 * time.Second

// within runs do, and reports whether it came to an end.
func within(do func()) bool {
	done := make(chan struct{})
	go func() { do(); close(done) }()
	select {
	case <-done:
		return true
	case <-time.After(stuck):
		return false
	}
}

// add puts a toxic on what flows in a direction, on connections that are open, and on
// those to come.
func (p *proxy) add(kind, direction string, attributes map[string]any) error {
	p.toxics++
	text, err := json.Marshal(map[string]any{"name": kind + strconv.Itoa(p.toxics), "type": kind, "stream": direction, "attributes": attributes})
	if err != nil {
		return err
	}
	inner := p.inner
	failed := make(chan error, 1)
	if !within(func() { _, err := inner.Toxics.AddToxicJson(bytes.NewReader(text)); failed <- err }) {
		return p.heal()
	}
	if err := <-failed; err != nil {
		return fmt.Errorf("%s: %s: %w", p.name, kind, err)
	}
	return nil
}

// both is add for both directions.
func (p *proxy) both(kind string, attributes map[string]any) error {
	if err := p.add(kind, toServer, attributes); err != nil {
		return err
	}
	return p.add(kind, fromServer, attributes)
}

// cut closes all connections, and refuses new ones until heal.
func (p *proxy) cut() { within(p.inner.Stop) }

// lead has the way end elsewhere; it stays cut until heal.
func (p *proxy) lead(upstream string) {
	p.cut()
	p.inner = newToxiproxy(p.name, p.inner.Listen, upstream)
}

// heal ends all connections, and lets new ones through unhindered.
func (p *proxy) heal() error {
	p.cut()
	p.inner = newToxiproxy(p.name, p.inner.Listen, p.inner.Upstream)
	var err error
	for deadline := time.Now().Add(stuck); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = p.inner.Start(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", p.name, err)
}
