package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/broker/consume"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/drain"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/lifecycle"
	"github.com/trailpost/trailpost/services/internal/policy"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/telemetry"
	"github.com/trailpost/trailpost/services/internal/tracing"
)

// Consumer takes events off the queue and stores them.
type Consumer struct {
	cfg         *config.Config
	broker      broker.Config
	database    store.Config
	identityKey event.Key
	log         *slog.Logger

	brokerMetrics *broker.Metrics
	drainMetrics  *drain.Metrics
	dbMetrics     *databaseMetrics
	analyze       bool // a new month was made; of keepPartitions alone
	health        *drain.Health
	start         atomic.Pointer[error] // what keeps the workers from starting; nil when they run
	probes        *telemetry.ProbeServer
	tracing       *tracing.Tracing // nil: off
	policies      *policy.Watcher  // nil: nobody looks
	stops         lifecycle.Stops
	background    *lifecycle.Background // until all workers have ended

	// Joints of tests, set before Run; nil and 0 in the product.
	AfterCommit  func()                        // called between each batch's commit and its ack: the process is ended there
	AroundStore  func(drain.Store) drain.Store // what stands in for each worker's store
	StoreTimeout time.Duration                 // see [drain.Options]
}

// NewConsumer listens for probes; nothing is answered or stored before Run. Close it, run or not.
func NewConsumer(cfg *config.Config, log *slog.Logger) (*Consumer, error) {
	brokerConfig, err := Broker(cfg, "trailpost-consumer", log)
	if err != nil {
		return nil, err
	}
	traces, err := Tracing(cfg, "trailpost-consumer", log)
	if err != nil {
		return nil, err
	}
	log = traces.Logger(log)
	registry := telemetry.NewRegistry()
	c := &Consumer{
		cfg: cfg, tracing: traces, identityKey: IdentityKey(cfg, log), broker: brokerConfig, database: Database(cfg), log: log,
		brokerMetrics: broker.NewMetrics(registry, broker.Consuming),
		health:        drain.NewHealth(),
		dbMetrics:     newDatabaseMetrics(registry),
		background:    lifecycle.NewBackground(),
	}
	c.stops.OnStop("traces", func(ctx context.Context) error { traces.Shutdown(ctx); return nil })
	c.stops.OnStop("what runs", c.background.Stop)
	c.policies = Policies(cfg, log)
	c.policies.Register(registry)
	c.drainMetrics = drain.NewMetrics(registry, c.health)
	broker.RegisterUp(registry, c.health.Connected)
	registry.MustRegister(telemetry.NewCertificateCollector(append(BrokerCertificates(cfg),
		telemetry.Certificate{Name: "database_ca", File: cfg.Database.SSLRootCert, Authority: true},
		telemetry.Certificate{Name: "database_client", File: cfg.Database.SSLCert})...))
	c.blocked(errors.New("starting"))
	c.probes, err = telemetry.NewProbeServer(cfg.Consumer.Addr(), c.Ready, registry, log)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.stops.OnStop("probes", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return c.probes.Shutdown(ctx)
	})
	return c, nil
}

// Close ends what NewConsumer began; Run has done it when it returns.
func (c *Consumer) Close() error { return c.stops.Stop(context.Background()) }

// Addr is where probes and metrics are.
func (c *Consumer) Addr() net.Addr { return c.probes.Addr() }

func (c *Consumer) blocked(reason error) { c.start.Store(&reason) }

// Ready returns nil while events can be stored.
func (c *Consumer) Ready() error {
	if reason := c.start.Load(); reason != nil {
		return *reason
	}
	return c.health.Ready()
}

// Run stores until ctx ends; then it finishes the batches in hand. Its error is one that
// retrying can't mend: a schema that is too old, a role that may change the
// trail, a queue that can't be used as configured.
func (c *Consumer) Run(ctx context.Context) error {
	failed := make(chan error, 2)
	c.background.Go(func(context.Context) { failed <- c.probes.Serve() })
	c.background.Go(func(ctx context.Context) { failed <- telemetry.ServeProfiles(ctx, c.cfg.Service.ProfilesAddr, c.log) })
	c.log.Info("consumer answers probes", "address", c.Addr().String(), "version", telemetry.ReadBuild().Version)

	take, stopTaking := context.WithCancel(ctx)
	defer stopTaking()
	patience, lose := afterwards(ctx, context.WithoutCancel(ctx), c.cfg.Consumer.ShutdownTimeout)
	defer lose()
	drained := make(chan error, 1)
	c.background.Go(func(life context.Context) { drained <- c.drain(take, life) })
	var err error
	select {
	case err = <-drained:
	case err = <-failed:
		stopTaking()
		err = errors.Join(err, <-drained)
	}
	if err = errors.Join(err, c.stops.Stop(patience)); err != nil {
		return fmt.Errorf("consumer: %w", err)
	}
	c.log.Info("consumer has stopped")
	return nil
}

// drain runs the workers until take ends, and what they need until life does.
func (c *Consumer) drain(take, life context.Context) error {
	if err := c.prepare(take); err != nil || take.Err() != nil {
		return err
	}
	life, end := context.WithCancel(life)
	defer end()
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer end()
	next := c.lookAfterPartitions(take)
	helpers.Go(func() { c.keepPartitions(life, next) })
	helpers.Go(func() { c.keepHorizon(life) })
	helpers.Go(func() { c.watchDatabase(life) })
	helpers.Go(func() { c.policies.Run(life) })
	helpers.Go(func() { admin.Watch(life, c.broker, DepthInterval, c.brokerMetrics) })
	confirming := admin.NewConfirmingPublisher(c.broker)
	defer confirming.Close()

	take, stop := context.WithCancel(take)
	defer stop()
	work, cancel := afterwards(take, life, c.cfg.Consumer.ShutdownTimeout)
	defer cancel()
	source := consume.NewSessionOpener(c.broker, c.cfg.Consumer.BatchSize, c.brokerMetrics)
	var traced *drain.Tracing
	if tracer := c.tracing.Tracer(); tracer != nil {
		traced = &drain.Tracing{Tracer: tracer, Queue: c.broker.TracedQueue()}
	}
	around := c.AroundStore
	if around == nil {
		around = func(s drain.Store) drain.Store { return s }
	}
	results := make(chan error)
	for i := range c.cfg.Consumer.Workers {
		worker := drain.NewWorker(drain.Options{
			Open: func(ctx context.Context, changed func(error)) (drain.Session, error) {
				return source.Open(ctx, changed)
			},
			Store:        around(observedWriter{store.NewWriter(c.database), c.dbMetrics}),
			StoreTimeout: c.StoreTimeout,
			Publisher:    confirming,
			DeadQueue:    c.broker.DeadQueue(),
			IdentityKey:  c.identityKey,
			HoldLetters:  c.policies.Letters,
			BatchSize:    c.cfg.Consumer.BatchSize,
			Linger:       c.cfg.Consumer.Linger,
			Tracing:      traced,
			RetryDelay:   max(c.cfg.Consumer.RetryDelay, 10*time.Millisecond),
			Grace:        time.Duration(c.cfg.Consumer.RetryAttempts) * c.cfg.Consumer.RetryDelay,
			Health:       c.health,
			Metrics:      c.drainMetrics,
			Logger:       c.log.With("worker", i+1),
			AfterCommit:  c.AfterCommit,
		})
		go func() { results <- worker.Run(take, work) }()
	}
	c.start.Store(nil)
	var errs []error
	for range c.cfg.Consumer.Workers {
		if err := <-results; err != nil {
			errs = append(errs, err)
			stop() // the others meet the same
		}
	}
	if len(errs) > 0 {
		return errs[0]
	}
	return nil
}

// afterwards is a context that ends a while after first does, or with life.
func afterwards(first, life context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(life)
	context.AfterFunc(first, func() {
		timer := time.AfterFunc(d, cancel)
		context.AfterFunc(ctx, func() { timer.Stop() })
	})
	return ctx, cancel
}
