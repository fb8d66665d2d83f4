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

// hop is a connection's way through a proxy. Its methods are used by one
// goroutine.
//
// A proxy is mended by a new one at the same address, and its connections end:
// toxiproxy can wait for ever when a toxic is taken off a connection that ends at that
// moment (seen with 2.5.0; that code is the same in 2.12.0).
type hop struct {
	name   string
	proxy  *toxiproxy.Proxy
	toxics int
}

func newHop(t testing.TB, name, upstream string) *hop {
	t.Helper()
	h := &hop{name: name, proxy: newProxy(name, "127.0.0.1:0", upstream)}
	if err := h.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.cut)
	return h
}

func newProxy(name, listen, upstream string) *toxiproxy.Proxy {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	return toxiproxy.NewProxy(server, name, listen, upstream)
}

func (h *hop) addr() string { return h.proxy.Listen }

func (h *hop) port() string {
	_, port, _ := net.SplitHostPort(h.proxy.Listen)
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
func (h *hop) add(kind, direction string, attributes map[string]any) error {
	h.toxics++
	text, err := json.Marshal(map[string]any{"name": kind + strconv.Itoa(h.toxics), "type": kind, "stream": direction, "attributes": attributes})
	if err != nil {
		return err
	}
	proxy := h.proxy
	failed := make(chan error, 1)
	if !within(func() { _, err := proxy.Toxics.AddToxicJson(bytes.NewReader(text)); failed <- err }) {
		return h.heal()
	}
	if err := <-failed; err != nil {
		return fmt.Errorf("%s: %s: %w", h.name, kind, err)
	}
	return nil
}

// both is add for both directions.
func (h *hop) both(kind string, attributes map[string]any) error {
	if err := h.add(kind, toServer, attributes); err != nil {
		return err
	}
	return h.add(kind, fromServer, attributes)
}

// cut closes all connections, and refuses new ones until heal.
func (h *hop) cut() { within(h.proxy.Stop) }

// lead has the way end elsewhere; it stays cut until heal.
func (h *hop) lead(upstream string) {
	h.cut()
	h.proxy = newProxy(h.name, h.proxy.Listen, upstream)
}

// heal ends all connections, and lets new ones through unhindered.
func (h *hop) heal() error {
	h.cut()
	h.proxy = newProxy(h.name, h.proxy.Listen, h.proxy.Upstream)
	var err error
	for deadline := time.Now().Add(stuck); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = h.proxy.Start(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", h.name, err)
}
