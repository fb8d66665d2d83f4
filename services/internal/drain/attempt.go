package drain

import (
	"context"
	"errors"
	"time"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/store"
)

// result is what became of an event.
type result struct {
	outcome  store.Outcome
	rejected error // why the database can never hold it; nil if it does
}

// attempt is a batch in flight: on its way into the trail, for as long as its session lives.
type attempt struct {
	opts    *Options
	session sessionState
	status  *status
	batch   *batch

	ctx    context.Context // ends when the batch is done, or its worker stops to take messages
	cancel context.CancelFunc
	done   chan struct{} // closed when the fields below say what became of the batch

	began   time.Time
	spanCtx context.Context // with the batch's span
	span    *batchSpan
	results []result
	letters int
	err     error // why not all of it is settled, with nobody trying any more
}

func (a *attempt) isDone() bool {
	if a == nil {
		return false
	}
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// storeOrDeadLetter stores the batch, and dead-letters what can't be stored.
func (a *attempt) storeOrDeadLetter(ctx context.Context) {
	a.began = time.Now()
	a.spanCtx, a.span = a.opts.Tracing.startBatch(ctx, a.batch)
	a.results, a.err = a.storeBisecting(a.spanCtx, a.batch.events, a.batch.redelivered)
	if a.err != nil {
		return
	}
	// The point of no return: what is committed stays, whatever happens now. A crash from here to
	// the ack means redelivery, and the store finds duplicates.
	a.span.recordResults(a.results)
	letters := a.batch.deadLetters(a.results)
	a.letters = len(letters)
	a.err = a.deadLetter(a.spanCtx, letters)
}

// storeBisecting commits events, and retries for ever while the database is at fault. Where an
// event is rejected, it stores the events by halves, until that one is alone and the others are
// stored. It does the same when they take too long together.
func (a *attempt) storeBisecting(ctx context.Context, events []event.Event, redelivered bool) ([]result, error) {
	if len(events) == 0 {
		return nil, nil
	}
	outcomes, err := a.storeRetrying(ctx, events, redelivered)
	if err == nil {
		results := make([]result, len(outcomes))
		for i, outcome := range outcomes {
			results[i].outcome = outcome
		}
		return results, nil
	}
	if store.Classify(err) != store.Rejected && !errors.Is(err, errBisect) {
		return nil, err
	}
	if len(events) == 1 {
		return []result{{rejected: err}}, nil
	}
	half := len(events) / 2
	left, err := a.storeBisecting(ctx, events[:half], redelivered)
	if err != nil {
		return nil, err
	}
	right, err := a.storeBisecting(ctx, events[half:], redelivered)
	return append(left, right...), err
}

// storeRetrying stores events, and retries until they are stored, one is rejected, the session is
// lost or ctx ends.
func (a *attempt) storeRetrying(ctx context.Context, events []event.Event, redelivered bool) ([]store.Outcome, error) {
	retry := a.newRetries(opStore)
	for {
		start := time.Now()
		outcomes, err := a.storeOnce(ctx, events, redelivered)
		if err == nil {
			a.opts.Metrics.storeSeconds.Observe(time.Since(start).Seconds())
			a.opts.Metrics.batchEvents.Observe(float64(len(events)))
			retry.succeeded()
			return outcomes, nil
		}
		class := store.Classify(err)
		if class == store.Rejected {
			retry.succeeded() // the database answers again
			return nil, err
		}
		if errors.Is(err, store.ErrTooLong) && len(events) > 1 && ctx.Err() == nil && !a.session.Lost() {
			a.opts.Metrics.retries.WithLabelValues(opStore, class.String()).Inc()
			a.opts.Logger.WarnContext(ctx, "can't store a batch in time; trying by halves", "events", len(events), "error", err, "sqlstate", store.SQLState(err))
			return nil, errBisect
		}
		if err := retry.wait(ctx, err, class); err != nil {
			return nil, err
		}
	}
}

// errBisect is a batch that took too long, and has more than one event.
var errBisect = errors.New("to be stored by halves")

// storeTimeout is how long one attempt to store may take. A batch takes milliseconds; a database
// behind a network that swallows packets would never answer.
const storeTimeout = time.Minute

func (a *attempt) storeOnce(ctx context.Context, events []event.Event, redelivered bool) ([]store.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, a.opts.StoreTimeout)
	defer cancel()
	return a.opts.Store.Store(ctx, events, redelivered)
}
