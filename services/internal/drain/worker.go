package drain

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/store"
)

// Session delivers messages on one broker connection. Every error of its
// methods means that it is lost, with all that it delivered and was not acked.
// One goroutine uses it, except for Lost and Why, which are for any.
type Session interface {
	loser
	// Receive waits for a message, for at most wait unless that is negative.
	Receive(ctx context.Context, wait time.Duration) (broker.Delivery, bool, error)
	// ObserveSize tells the session how many events a message had.
	ObserveSize(events int) error
	// Ack settles the n messages up to and including tag for good.
	Ack(tag uint64, n int) error
	Close()
}

// loser is what a batch on its way may know of its session.
type loser interface {
	Lost() bool
	// Why is what the broker said when it ended the session; nil if it said nothing.
	Why() error
}

// Store commits events. When it returns nil, outcome i is what became of
// events[i], for good.
type Store interface {
	Store(ctx context.Context, events []event.Event, redelivered bool) ([]store.Outcome, error)
	Close(ctx context.Context) error
}

// Outlet publishes to a queue. When it returns nil, the broker holds every
// message for good.
type Outlet interface {
	Publish(ctx context.Context, queue string, messages []broker.Message) error
}

// Options are a worker's joints and settings.
type Options struct {
	// Open opens a session; it tries until it can. changed hears why it can't.
	Open      func(ctx context.Context, changed func(error)) (Session, error)
	Store     Store
	Outlet    Outlet
	DeadQueue string
	// IdentityKey is what ids of events without one are derived under.
	IdentityKey event.Key
	// HoldLetters returns why no dead letter may be published: the broker would lose it, or another for it. nil: never.
	HoldLetters func() error

	BatchSize int           // most events of a batch
	Linger    time.Duration // how long a batch waits for more
	// RetryDelay is the longest wait between attempts to store, and Grace is
	// how long trouble may last before readiness goes off.
	RetryDelay, Grace time.Duration
	// StoreTimeout is how long one attempt to store may take; 0: a minute.
	StoreTimeout time.Duration

	Tracing *Tracing // nil: no spans
	Health  *Health
	Metrics *Metrics
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now

	// AfterCommit, if not nil, is called between the commit of a batch and its ack.
	// Tests end the process there.
	AfterCommit func()
}

// Worker drains the queue. It stores one batch after the other, and has the next at hand.
type Worker struct {
	opts Options
}

// NewWorker returns a worker.
func NewWorker(opts Options) *Worker {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.StoreTimeout == 0 {
		opts.StoreTimeout = storeTimeout
	}
	if opts.HoldLetters == nil {
		opts.HoldLetters = func() error { return nil }
	}
	return &Worker{opts: opts}
}

// Run drains until take ends; then it finishes the batch in hand, for as long
// as work lasts. Its error is the one that Open returned.
func (w *Worker) Run(take, work context.Context) error {
	status := w.opts.Health.worker()
	defer status.leave()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(work), time.Second)
		defer cancel()
		_ = w.opts.Store.Close(ctx)
	}()
	for take.Err() == nil {
		s, err := w.opts.Open(take, func(err error) {
			status.disconnected(err)
			w.opts.Logger.Error("no connection to rabbitmq; trying again until there is one", "error", err)
		})
		if err != nil {
			if take.Err() != nil {
				return nil
			}
			return err
		}
		status.connected()
		w.opts.Logger.Info("consuming", "batch_size", w.opts.BatchSize)
		err = (&pipeline{Worker: w, session: s, status: status}).run(take, work)
		s.Close()
		if err != nil && take.Err() == nil {
			status.disconnected(err)
			w.opts.Logger.Warn("broker session lost; what was unacked is delivered again", "error", err)
		}
	}
	return nil
}

// errGaveUp ends a wait: the session is lost, or time is up.
func errGaveUp(ctx context.Context, s loser) error {
	if s.Lost() {
		if why := s.Why(); why != nil {
			return fmt.Errorf("%w while a batch was in flight: %w", broker.ErrSessionLost, why)
		}
		return fmt.Errorf("%w while a batch was in flight", broker.ErrSessionLost)
	}
	return ctx.Err()
}
