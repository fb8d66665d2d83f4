package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// hop is a connection's way through a proxy. Its methods are used by one
// goroutine.
type hop struct {
	name   string
	proxy  *toxiproxy.Proxy
	toxics []string
}

func newHop(t testing.TB, name, upstream string) *hop {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	h := &hop{name: name, proxy: toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)}
	if err := h.proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.proxy.Stop)
	return h
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

// add puts a toxic on what flows in a direction, on connections that are open, and on
// those to come.
func (h *hop) add(kind, direction string, attributes map[string]any) error {
	name := kind + strconv.Itoa(len(h.toxics))
	text, err := json.Marshal(map[string]any{"name": name, "type": kind, "stream": direction, "attributes": attributes})
	if err != nil {
		return err
	}
	if _, err := h.proxy.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("%s: %s: %w", h.name, kind, err)
	}
	h.toxics = append(h.toxics, name)
	return nil
}

// both is add for both directions.
func (h *hop) both(kind string, attributes map[string]any) error {
	if err := h.add(kind, toServer, attributes); err != nil {
		return err
	}
	return h.add(kind, fromServer, attributes)
}

// heal takes all toxics away. Connections live on.
func (h *hop) heal() error {
	for _, name := range h.toxics {
		if err := h.proxy.Toxics.RemoveToxic(context.Background(), name); err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
	}
	h.toxics = nil
	return nil
}

// cut closes all connections, and refuses new ones until restore.
func (h *hop) cut() { h.proxy.Stop() }

func (h *hop) restore() error { return h.proxy.Start() }

// healAnew takes all toxics away and the connections with them: what a toxic has
// swallowed would be missing from them.
func (h *hop) healAnew() error {
	h.cut()
	if err := h.heal(); err != nil {
		return err
	}
	return h.restore()
}
