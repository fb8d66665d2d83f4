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
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trailpost/trailpost/services/internal/apikey"
	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/broker/publish"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/ingest"
	"github.com/trailpost/trailpost/services/internal/lifecycle"
	"github.com/trailpost/trailpost/services/internal/policy"
	"github.com/trailpost/trailpost/services/internal/telemetry"
	"github.com/trailpost/trailpost/services/internal/tracing"
)

// Producer takes events over HTTP and puts them on the queue.
type Producer struct {
	cfg       *config.Config
	broker    broker.Config
	log       *slog.Logger
	metrics   *broker.Metrics
	publisher *publish.Publisher
	server    *ingest.Server
	keys      *apikey.File           // nil: nobody needs one
	probes    *telemetry.ProbeServer // nil: they are the server's
	tracing   *tracing.Tracing       // nil: off
	policies  *policy.Watcher        // nil: nobody looks

	stops      lifecycle.Stops
	background *lifecycle.Background // until the last confirm
}

// Option changes what New wires.
type Option func(*ingest.Config)

// AroundPublisher has what around returns stand in for the publisher. It is a joint of tests.
func AroundPublisher(around func(ingest.Publisher) ingest.Publisher) Option {
	return func(c *ingest.Config) { c.Publisher = around(c.Publisher) }
}

// New listens; nothing is answered before Run. Close it, run or not.
func New(cfg *config.Config, log *slog.Logger, options ...Option) (*Producer, error) {
	brokerConfig, err := app.Broker(cfg, "trailpost-producer", log)
	if err != nil {
		return nil, err
	}
	traces, err := app.Tracing(cfg, "trailpost-producer", log)
	if err != nil {
		return nil, err
	}
	log = traces.Logger(log)
	app.IdentityKey(cfg, log) // it mints its ids at random
	brokerConfig.Tracer = traces.Tracer()
	brokerConfig.RequestTimeout = cfg.Producer.RequestTimeout
	registry := telemetry.NewRegistry()
	p := &Producer{cfg: cfg, tracing: traces, broker: brokerConfig, log: log, metrics: broker.NewMetrics(registry, broker.Publishing),
		background: lifecycle.NewBackground()}
	p.stops.OnStop("traces", func(ctx context.Context) error { traces.Shutdown(ctx); return nil })
	p.stops.OnStop("what runs", p.background.Stop)
	p.publisher = publish.NewPublisher(brokerConfig, p.metrics)
	p.publisher.Register(registry)
	p.policies = app.Policies(cfg, log)
	p.policies.Register(registry)
	registry.MustRegister(telemetry.NewCertificateCollector(append(app.BrokerCertificates(cfg),
		telemetry.Certificate{Name: "server", File: cfg.Producer.TLSCertFile})...))
	if err := p.listen(registry, options); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close ends what New began; Run has done it when it returns.
func (p *Producer) Close() error { return p.stops.Stop(context.Background()) }

// listen makes the servers. Whoever asks for metrics elsewhere does not find them
// where events are taken.
func (p *Producer) listen(registry *prometheus.Registry, options []Option) (err error) {
	cfg := p.cfg.Producer
	serve := ingest.Config{
		Publisher:      p.publisher,
		Refuse:         p.policies.Events,
		Parser:         &event.Parser{MaxAge: cfg.EventIDMaxAge},
		Log:            p.log,
		Metrics:        ingest.NewMetrics(registry),
		Gatherer:       registry,
		Tracer:         p.tracing.Tracer(),
		RateLimit:      cfg.RateLimit,
		RateBurst:      cfg.RateBurst,
		TrustedProxies: cfg.TrustedProxies.Prefixes(),
		Origins:        cfg.CORSOrigins.List(),
		MemoryBudget:   int64(cfg.MemoryBudget),
		RequestTimeout: cfg.RequestTimeout,
		Addr:           cfg.Addr(),
		CertFile:       cfg.TLSCertFile,
		KeyFile:        cfg.TLSKeyFile,
		IdleTimeout:    cfg.IdleTimeout,
	}
	for _, change := range options {
		change(&serve)
	}
	if cfg.APIKeysFile != "" {
		if p.keys, err = apikey.Open(cfg.APIKeysFile, p.log, apikey.NewMetrics(registry)); err != nil {
			return &config.Error{Faults: []config.Fault{{Name: "PRODUCER_API_KEYS_FILE", Problem: err.Error()}}}
		}
		serve.Keys = p.keys
	} else if !isLoopback(cfg.Host) {
		p.log.Warn("PRODUCER_API_KEYS_FILE is not set: whoever reaches "+cfg.Addr()+" may send events", "address", cfg.Addr())
	}
	if cfg.MetricsPort != 0 {
		serve.Gatherer = nil
		if p.probes, err = telemetry.NewProbeServer(cfg.MetricsAddr(), p.Ready, registry, p.log); err != nil {
			return err
		}
		p.stops.OnStop("probes", p.probes.Shutdown) // after the server, so that they tell of the end
	}
	p.stops.OnStop("publisher", p.publisher.Close) // after the server, whose last requests wait for confirms
	if p.server, err = ingest.NewServer(serve); err != nil {
		return err
	}
	p.stops.OnStop("server", p.server.Shutdown)
	return nil
}

// Addr is where the producer listens.
func (p *Producer) Addr() net.Addr { return p.server.Addr() }

// Ready returns nil while events can be accepted, or could by no replica: see ingest's /readyz.
func (p *Producer) Ready() error {
	if err := p.publisher.Ready(); !errors.Is(err, broker.ErrBlocked) {
		return err
	}
	return nil
}

// Run serves until ctx ends; then it finishes the requests in hand and their
// confirms. Its error is one that retrying can't mend.
func (p *Producer) Run(ctx context.Context) error {
	// What runs outlives ctx: the last requests wait for the publisher's confirms.
	failed := make(chan error, 4)
	p.background.Go(func(life context.Context) { failed <- p.publisher.Run(life) })
	p.background.Go(func(context.Context) { failed <- p.server.Serve() })
	p.background.Go(func(life context.Context) {
		failed <- telemetry.ServeProfiles(life, p.cfg.Service.ProfilesAddr, p.log)
	})
	p.background.Go(p.policies.Run)
	p.background.Go(func(life context.Context) { admin.Watch(life, p.broker, app.DepthInterval, p.metrics) })
	if p.keys != nil {
		p.background.Go(p.keys.Run)
	}
	if p.probes != nil {
		p.background.Go(func(context.Context) { failed <- p.probes.Serve() })
	}
	p.log.Info("producer listens", "address", p.Addr().String(), "version", telemetry.ReadBuild().Version)

	var err error
	select {
	case <-ctx.Done():
		p.log.Info("producer stops; requests in flight are finished")
	case err = <-failed:
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.Producer.ShutdownTimeout)
	defer cancel()
	if err = errors.Join(err, p.stops.Stop(stop)); err != nil {
		return fmt.Errorf("producer: %w", err)
	}
	p.log.Info("producer has stopped")
	return nil
}

// isLoopback reports whether only this machine reaches an address. A name other than localhost may be anything.
func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}
