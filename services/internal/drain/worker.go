package drain

import (
	"context"
	"log/slog"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/store"
)

// Session delivers messages on one broker connection. Every error of its methods means that it is
// lost, with everything that it delivered and that was not acked. One goroutine uses it, except for
// Lost and Why, which any goroutine may call.
type Session interface {
	sessionState
	// Receive waits for a message, for at most wait unless that is negative. Without a message it
	// returns false.
	Receive(ctx context.Context, wait time.Duration) (broker.Delivery, bool, error)
	// ObserveSize tells the session how many events a message had.
	ObserveSize(events int) error
	// Ack acks the n messages up to and including tag.
	Ack(tag uint64, n int) error
	Close()
}

// sessionState is what a batch in flight may know about its session.
type sessionState interface {
	Lost() bool
	// Why returns what the broker said when it ended the session; nil if it said nothing.
	Why() error
}

// Store commits events. When it returns no error, outcome i says durably what became of events[i].
type Store interface {
	Store(ctx context.Context, events []event.Event, redelivered bool) ([]store.Outcome, error)
	Close(ctx context.Context) error
}

// ConfirmingPublisher publishes to a queue. When it returns nil, the broker holds every message
// durably.
type ConfirmingPublisher interface {
	Publish(ctx context.Context, queue string, messages []broker.Message) error
}

// Options are a worker's dependencies and settings.
type Options struct {
	// Open opens a session, and retries until it can. It calls failing with the reason, whenever
	// that changes.
	Open      func(ctx context.Context, failing func(error)) (Session, error)
	Store     Store
	Publisher ConfirmingPublisher // of dead letters
	DeadQueue string
	// IdentityKey is the key under which ids are derived for events without one.
	IdentityKey event.Key
	// HoldLetters returns why no dead letter may be published: the broker would lose it, or another
	// one for it. nil: there is never a reason.
	HoldLetters func() error

	BatchSize int           // most events and letters of a batch
	Linger    time.Duration // how long a batch waits for more
	// RetryDelay is the longest wait between attempts to store, and Grace is how long trouble may
	// last before the worker is not ready any more.
	RetryDelay, Grace time.Duration
	// StoreTimeout is how long one attempt to store may take; 0: a minute.
	StoreTimeout time.Duration

	Tracing *Tracing // nil: no spans
	Health  *Health
	Metrics *Metrics
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now

	// AfterCommit, if not nil, is called between the commit of a batch and its ack. Tests end the
	// process there.
	AfterCommit func()
}

// Worker drains the queue. It stores one batch after the other, and collects the next meanwhile.
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

// Run drains until take ends; then it finishes the batches that it holds, for as long as work
// lasts. Its error is the one that Open returned.
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
		err = (&pipeline{opts: &w.opts, session: s, status: status}).run(take, work)
		s.Close()
		if err != nil && take.Err() == nil {
			status.disconnected(err)
			w.opts.Logger.Warn("broker session lost; what was unacked is delivered again", "error", err)
		}
	}
	return nil
}
