package broker

import (
	"context"
	"time"
)

// await returns the outcome that a channel brings, unless ctx ends or time is up before:
// then gaveUp says which.
func await(ctx context.Context, within time.Duration, result <-chan error) (outcome, gaveUp error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case outcome = <-result:
		return outcome, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, context.DeadlineExceeded
	}
}
