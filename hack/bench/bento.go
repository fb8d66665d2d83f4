package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/service"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

// Bento is the peer: a stream processor that can be set up to do both jobs, HTTP to confirmed messages and messages to
// rows that are there once. It gets the settings that are good for it: as many requests in flight as there are connections,
// batches of 1,000 rows on two connections as Trailpost's, and no processor, so that it neither checks an event nor gives
// it an id. It keeps no sessions.
const (
	bentoAccept = `
http: {address: %q}
logger: {level: WARN}
input:
  http_server: {path: /log}
output:
  amqp_0_9: {urls: [%q], exchange: "", key: %s, persistent: true, max_in_flight: 256}
`
	bentoStore = `
http: {address: %q}
logger: {level: WARN}
input:
  amqp_0_9: {urls: [%q], queue: %s, prefetch_count: 2000}
output:
  sql_insert:
    driver: postgres
    dsn: %q
    table: log_events
    columns: [event_id, session_id, event_type, '"timestamp"', received_at, payload]
    args_mapping: |
      root = [this.event_id, this.session_id, this.event_type, this.timestamp, this.producer_timestamp, this.payload.format_json(no_indent: true).string()]
    suffix: ON CONFLICT DO NOTHING
    max_in_flight: 2
    batching: {count: 1000, period: 50ms}
`
)

// metricBento is of its rows.
const metricBento = "output_sent"

// bento measures it with the requests, and the queue of single events, that Trailpost gets.
func bento(ctx context.Context, b *bench, r *figures.Report) (err error) {
	if err := b.clean(ctx); err != nil {
		return err
	}
	s, err := b.startBento(ctx, func(addr string) string { return fmt.Sprintf(bentoAccept, addr, b.brokerURL, queueName) })
	if err != nil {
		return err
	}
	for _, connections := range []int{64, 256} {
		if err == nil {
			err = b.postSingles(ctx, r, s, fmt.Sprintf("bento.single_%d", connections), connections)
		}
	}
	if err := errors.Join(err, s.Stop(), b.purge()); err != nil {
		return err
	}

	events := b.events / 3
	events -= events % batchSize
	if err := b.fill(ctx, events, workload.Payload, "RABBITMQ_EVENTS_PER_MESSAGE=1"); err != nil {
		return err
	}
	dsn := url.URL{
		Scheme: "postgres", User: url.UserPassword("bench_writer", benchPassword), Path: databaseName, RawQuery: "sslmode=disable",
		Host: net.JoinHostPort(b.database.Host, strconv.Itoa(int(b.database.Port))),
	}
	start := func() (*service.Service, error) {
		return b.startBento(ctx, func(addr string) string { return fmt.Sprintf(bentoStore, addr, b.brokerURL, queueName, dsn.String()) })
	}
	if err := b.drainWith(ctx, r, "bento.store", start, 1, events, metricBento); err != nil {
		return err
	}
	return b.expectRows(ctx, events)
}

// startBento runs it with a configuration, and waits until it has connected.
func (b *bench) startBento(ctx context.Context, configure func(addr string) string) (*service.Service, error) {
	port, err := service.FreePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(b.logs, "bento.yaml")
	if err := os.WriteFile(config, []byte(configure("127.0.0.1:"+port)), 0o600); err != nil {
		return nil, err
	}
	binary, err := filepath.Abs(b.bento)
	if err != nil {
		return nil, err
	}
	return b.run(ctx, service.Program{Binary: binary, Args: []string{"-c", config}, Port: port, Ready: "/ready"}, nil)
}
