package drain

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/store"
)

// retry counts the failures of one operation, waits between its attempts, and logs when something
// changes.
type retry struct {
	opts      *Options
	session   sessionState
	status    *status
	operation string

	failures  int
	since     time.Time // of the first failure
	lastError string
	escalated bool // the trouble was logged as an error
}

func (a *attempt) newRetry(operation string) retry {
	return retry{opts: a.opts, session: a.session, status: a.status, operation: operation}
}

// wait notes a failure and waits for the next attempt. It returns an error when there will be none.
func (r *retry) wait(ctx context.Context, err error, class store.Class) error {
	if r.session.Lost() || ctx.Err() != nil {
		return errGaveUp(ctx, r.session)
	}
	now := time.Now()
	if r.failures == 0 {
		r.since = now
	}
	r.failures++
	r.opts.Metrics.retries.WithLabelValues(r.operation, class.String()).Inc()
	trace.SpanFromContext(ctx).AddEvent("can't "+r.operation+"; trying again", trace.WithAttributes(semconv.ExceptionMessage(err.Error())))
	late := now.Sub(r.since) >= r.opts.Grace
	if late || class == store.Transient && !store.Contended(err) {
		r.status.trouble(err)
	}
	switch {
	case late && class == store.Trouble && !r.escalated:
		r.escalated = true
		r.opts.Logger.ErrorContext(ctx, "can't "+r.operation+": somebody has to look; trying again until it works", "error", err,
			"sqlstate", store.SQLState(err), "tries", r.failures)
	case err.Error() != r.lastError:
		r.opts.Logger.WarnContext(ctx, "can't "+r.operation+"; trying again", "error", err, "sqlstate", store.SQLState(err))
	}
	r.lastError = err.Error()
	return r.pause(ctx)
}

// pause waits with doubling and equal jitter. It returns an error if the session is lost or ctx
// ends meanwhile.
func (r *retry) pause(ctx context.Context) error {
	ceiling := min(50*time.Millisecond<<min(r.failures, 10), r.opts.RetryDelay)
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

// succeeded notes that the operation works, and says so if it had failed.
func (r *retry) succeeded() {
	if r.failures == 0 {
		return
	}
	r.status.fine()
	r.opts.Logger.Info(r.operation+" works again", "tries", r.failures, "seconds", time.Since(r.since).Seconds())
}

// errGaveUp is why no attempt follows: the session is lost, or ctx has ended.
func errGaveUp(ctx context.Context, s sessionState) error {
	if s.Lost() {
		if why := s.Why(); why != nil {
			return fmt.Errorf("%w while a batch was in flight: %w", broker.ErrSessionLost, why)
		}
		return fmt.Errorf("%w while a batch was in flight", broker.ErrSessionLost)
	}
	return ctx.Err()
}
