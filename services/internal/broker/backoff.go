package broker

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff is the wait between attempts: doubling from 100 ms to 5 s, with
// full jitter, so that many clients don't come back at once.
type backoff struct{ attempt int }

func (b *backoff) next() time.Duration {
	ceiling := min(100*time.Millisecond<<min(b.attempt, 10), 5*time.Second)
	b.attempt++
	return ceiling/2 + rand.N(ceiling/2+1)
}

func (b *backoff) reset() { b.attempt = 0 }

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
