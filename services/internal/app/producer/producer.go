// Package producer wires the producer: a plain type with New and Run, which the
// main, the local service and the tests share. It is not in package app so that the
// consumer's binary does without the HTTP interface and its documentation.
package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/ingest"
	"github.com/trailpost/trailpost/services/internal/telemetry"
	"github.com/trailpost/trailpost/services/internal/tracing"
)

// Producer takes events over HTTP and puts them on the queue.
type Producer struct {
	cfg       *config.Config
	broker    broker.Config
	log       *slog.Logger
	metrics   *broker.Metrics
	publisher *broker.Publisher
	server    *ingest.Server
	tracing   *tracing.Tracing // nil: off
}

// New listens; nothing is answered before Run.
func New(cfg *config.Config, log *slog.Logger) (*Producer, error) {
	brokerConfig, err := app.Broker(cfg, "trailpost-producer", log)
	if err != nil {
		return nil, err
	}
	traces, err := app.Tracing(cfg, "trailpost-producer", log)
	if err != nil {
		return nil, err
	}
	log = traces.Logger(log)
	brokerConfig.Tracer = traces.Tracer()
	registry := telemetry.NewRegistry()
	p := &Producer{cfg: cfg, tracing: traces, broker: brokerConfig, log: log, metrics: broker.NewMetrics(registry, broker.Publishing)}
	p.publisher = broker.NewPublisher(brokerConfig, p.metrics)
	p.publisher.Register(registry)
	registry.MustRegister(telemetry.NewCertificateCollector(append(app.BrokerCertificates(cfg),
		telemetry.Certificate{Name: "server", File: cfg.Producer.TLSCertFile})...))
	handler := ingest.NewHandler(ingest.Config{
		Publisher:      p.publisher,
		Door:           &event.Door{MaxAge: cfg.Producer.EventIDMaxAge},
		Log:            log,
		Metrics:        ingest.NewMetrics(registry),
		Gatherer:       registry,
		Tracer:         traces.Tracer(),
		MemoryBudget:   int64(cfg.Producer.MemoryBudget),
		RequestTimeout: cfg.Producer.RequestTimeout,
	})
	p.server, err = ingest.NewServer(ingest.ServerConfig{
		Addr:           cfg.Producer.Addr(),
		CertFile:       cfg.Producer.TLSCertFile,
		KeyFile:        cfg.Producer.TLSKeyFile,
		Log:            log,
		RequestTimeout: cfg.Producer.RequestTimeout,
	}, handler)
	if err != nil {
		traces.Shutdown(context.Background())
		return nil, err
	}
	return p, nil
}

// Addr is where the producer listens.
func (p *Producer) Addr() net.Addr { return p.server.Addr() }

// Ready returns nil while events can be accepted.
func (p *Producer) Ready() error { return p.publisher.Ready() }

// Run serves until ctx ends; then it finishes the requests in hand and their
// confirms. Its error is one that retrying can't mend.
func (p *Producer) Run(ctx context.Context) error {
	// The publisher outlives ctx: the last requests wait for its confirms.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	failed := make(chan error, 2)
	running.Go(func() { failed <- p.publisher.Run(life) })
	running.Go(func() { failed <- p.server.Serve() })
	running.Go(func() { broker.Watch(life, p.broker, app.DepthInterval, p.metrics) })
	p.log.Info("producer listens", "address", p.Addr().String(), "version", telemetry.ReadBuild().Version)

	var err error
	select {
	case <-ctx.Done():
		p.log.Info("producer stops; requests in hand are finished")
	case err = <-failed:
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Producer.ShutdownTimeout)
	defer cancel()
	err = errors.Join(err, p.server.Shutdown(stop), p.publisher.Close(stop))
	end()
	running.Wait()
	p.tracing.Shutdown(stop)
	if err != nil {
		return fmt.Errorf("producer: %w", err)
	}
	p.log.Info("producer has stopped")
	return nil
}
