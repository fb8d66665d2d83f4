package drain

import (
	"context"
	"fmt"
	"time"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/retry"
	"github.com/trailpost/trailpost/services/internal/store"
)

// retries counts the failures of one operation, waits between its attempts, and logs when something
// changes.
type retries struct {
	opts      *Options
	session   sessionState
	status    *status
	operation string

	failures  int
	since     time.Time // of the first failure
	reason    retry.Reason
	backoff   retry.Backoff
	escalated bool // the trouble was logged as an error
}

func (a *attempt) newRetries(operation string) retries {
	return retries{
		opts: a.opts, session: a.session, status: a.status, operation: operation,
		backoff: retry.Backoff{First: 100 * time.Millisecond, Most: a.opts.RetryDelay},
	}
}

// wait notes a failure and waits for the next attempt. It returns an error when there will be none.
func (r *retries) wait(ctx context.Context, err error, class store.Class) error {
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
	changed := r.reason.Changed(err)
	switch {
	case late && class == store.Trouble && !r.escalated:
		r.escalated = true
		r.opts.Logger.ErrorContext(ctx, "can't "+r.operation+": somebody has to look; trying again until it works", "error", err,
			"sqlstate", store.SQLState(err), "tries", r.failures)
	case changed:
		r.opts.Logger.WarnContext(ctx, "can't "+r.operation+"; trying again", "error", err, "sqlstate", store.SQLState(err))
	}
	return r.pause(ctx)
}

// pause waits. It returns an error if the session is lost or ctx ends meanwhile.
func (r *retries) pause(ctx context.Context) error {
	if err := retry.Sleep(ctx, r.backoff.Next()); err != nil || r.session.Lost() {
		return errGaveUp(ctx, r.session)
	}
	return nil
}

// succeeded notes that the operation works, and says so if it had failed.
func (r *retries) succeeded() {
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
