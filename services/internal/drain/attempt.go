package drain

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/tracing"
)

// result is what became of an event: an outcome, or the error for which the
// database can never hold it.
type result struct {
	outcome store.Outcome
	poison  error
}

// attempt is a batch on its way, for as long as its session lives.
type attempt struct {
	*Worker
	session loser
	status  *status
	batch   *batch

	under   context.Context // ends when the batch is through, or its worker is to take no more
	through context.CancelFunc
	done    chan struct{} // closed when the fields below are what became of it

	began   time.Time
	ctx     context.Context // with the batch's span
	span    *batchSpan
	results []result
	letters int
	err     error // not all of it is settled, and nobody tries any more
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

// pass stores the batch and dead-letters what can't be stored.
func (a *attempt) pass(ctx context.Context) {
	a.began = time.Now()
	a.ctx, a.span = a.opts.Tracing.start(ctx, a.batch)
	a.results, a.err = a.store(a.ctx, a.batch.events, a.batch.redelivered)
	if a.err != nil {
		return
	}
	// The point of no return: what is committed stays, whatever happens now.
	// A crash from here to the ack means redelivery, and the store finds duplicates.
	a.span.committed(a.results)
	letters := a.batch.letters(a.results)
	a.letters = len(letters)
	a.err = a.deadLetter(a.ctx, letters)
}

// store commits events, trying for ever while the database is at fault. Where an event is,
// it looks for it by halves, so that the one stands alone and the others are stored; so it does when they take too long
// together.
func (a *attempt) store(ctx context.Context, events []event.Event, redelivered bool) ([]result, error) {
	if len(events) == 0 {
		return nil, nil
	}
	outcomes, err := a.persist(ctx, events, redelivered)
	if err == nil {
		results := make([]result, len(outcomes))
		for i, outcome := range outcomes {
			results[i].outcome = outcome
		}
		return results, nil
	}
	if store.Classify(err) != store.Rejected && !errors.Is(err, errHalve) {
		return nil, err
	}
	if len(events) == 1 {
		return []result{{poison: err}}, nil
	}
	half := len(events) / 2
	left, err := a.store(ctx, events[:half], redelivered)
	if err != nil {
		return nil, err
	}
	right, err := a.store(ctx, events[half:], redelivered)
	return append(left, right...), err
}

// persist tries to store until it is done, the input is at fault, the session
// is lost or ctx ends.
func (a *attempt) persist(ctx context.Context, events []event.Event, redelivered bool) ([]store.Outcome, error) {
	retry := retry{attempt: a, what: opStore}
	for {
		start := time.Now()
		outcomes, err := a.once(ctx, events, redelivered)
		if err == nil {
			a.opts.Metrics.storeSeconds.Observe(time.Since(start).Seconds())
			a.opts.Metrics.batchEvents.Observe(float64(len(events)))
			retry.done()
			return outcomes, nil
		}
		class := store.Classify(err)
		if class == store.Rejected {
			retry.done()
			return nil, err
		}
		if errors.Is(err, store.ErrTooLong) && len(events) > 1 && ctx.Err() == nil && !a.session.Lost() {
			a.opts.Metrics.retries.WithLabelValues(opStore, class.String()).Inc()
			a.opts.Logger.WarnContext(ctx, "can't store a batch in time; trying by halves", "events", len(events), "error", err, "sqlstate", store.SQLState(err))
			return nil, errHalve
		}
		if err := retry.wait(ctx, err, class); err != nil {
			return nil, err
		}
	}
}

// errHalve is a batch that took too long and can be taken apart.
var errHalve = errors.New("to be stored by halves")

// storeTimeout is how long one attempt may take. A batch takes milliseconds;
// a database that swallows packets would never answer.
const storeTimeout = time.Minute

func (a *attempt) once(ctx context.Context, events []event.Event, redelivered bool) ([]store.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, a.opts.StoreTimeout)
	defer cancel()
	return a.opts.Store.Store(ctx, events, redelivered)
}

// deadLetter puts letters on the dead-letter queue, trying for ever. While the broker would lose them it publishes none:
// counting afterwards would prove nothing, since the new letter may be there and another one gone for it.
func (a *attempt) deadLetter(ctx context.Context, letters []deadletter.Letter) error {
	if len(letters) == 0 {
		return nil
	}
	messages := make([]broker.Message, len(letters))
	for i := range letters {
		messages[i] = letters[i].Message(a.opts.Now())
	}
	retry := retry{attempt: a, what: opDeadLetter}
	for {
		err := a.opts.HoldLetters()
		if err == nil {
			err = a.publish(ctx, messages)
		}
		if err == nil {
			retry.done()
			break
		}
		class := store.Transient
		if tooLarge := new(broker.TooLargeError); errors.As(err, &tooLarge) {
			class = store.Trouble // until the broker takes such messages again
		}
		if err := retry.wait(ctx, err, class); err != nil {
			return err
		}
	}
	for i := range letters {
		l := &letters[i]
		a.opts.Metrics.deadLettered.WithLabelValues(l.Reason).Inc()
		a.opts.Logger.WarnContext(ctx, "event dead-lettered", "event_id", messages[i].MessageID, "reason", l.Reason,
			"detail", l.Detail, "sqlstate", l.SQLState, "traceparent", l.Trace)
	}
	return nil
}

func (a *attempt) publish(ctx context.Context, letters []broker.Message) error {
	ctx, span := a.opts.Tracing.deadLetters(ctx, a.opts.DeadQueue, len(letters))
	defer span.End()
	err := a.opts.Outlet.Publish(ctx, a.opts.DeadQueue, letters)
	if err != nil {
		tracing.Fail(span, "not_confirmed", err.Error())
	}
	return err
}

// retry is a loop's patience. It speaks when something changes.
type retry struct {
	*attempt
	what   string
	tries  int
	since  time.Time
	last   string
	raised bool // the trouble was called an error
}

// wait notes the failure and waits for the next attempt. Its error says that
// there will be none.
func (r *retry) wait(ctx context.Context, err error, class store.Class) error {
	if r.session.Lost() || ctx.Err() != nil {
		return errGaveUp(ctx, r.session)
	}
	now := time.Now()
	if r.tries == 0 {
		r.since = now
	}
	r.tries++
	r.opts.Metrics.retries.WithLabelValues(r.what, class.String()).Inc()
	trace.SpanFromContext(ctx).AddEvent("can't "+r.what+"; trying again", trace.WithAttributes(semconv.ExceptionMessage(err.Error())))
	late := now.Sub(r.since) >= r.opts.Grace
	if late || class == store.Transient && !store.Contended(err) {
		r.status.trouble(err)
	}
	switch {
	case late && class == store.Trouble && !r.raised:
		r.raised = true
		r.opts.Logger.ErrorContext(ctx, "can't "+r.what+": somebody has to look; trying again until it works", "error", err,
			"sqlstate", store.SQLState(err), "tries", r.tries)
	case err.Error() != r.last:
		r.opts.Logger.WarnContext(ctx, "can't "+r.what+"; trying again", "error", err, "sqlstate", store.SQLState(err))
	}
	r.last = err.Error()
	return r.pause(ctx)
}

// pause waits with doubling and jitter, but not on a lost session.
func (r *retry) pause(ctx context.Context) error {
	ceiling := min(50*time.Millisecond<<min(r.tries, 10), r.opts.RetryDelay)
	timer := time.NewTimer(ceiling/2 + rand.N(ceiling/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	if r.session.Lost() || ctx.Err() != nil {
		return errGaveUp(ctx, r.session)
	}
	return nil
}

func (r *retry) done() {
	if r.tries == 0 {
		return
	}
	r.status.fine()
	r.opts.Logger.Info(r.what+" works again", "tries", r.tries, "seconds", time.Since(r.since).Seconds())
}
