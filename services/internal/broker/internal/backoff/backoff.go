// Package backoff is the wait between attempts to reach RabbitMQ.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the wait between attempts: doubling from 100 ms to 5 s, with equal jitter, so that
// many clients don't come back at once.
type Backoff struct{ attempt int }

// Next returns how long to wait before the next attempt.
func (b *Backoff) Next() time.Duration {
	ceiling := min(100*time.Millisecond<<min(b.attempt, 10), 5*time.Second)
	b.attempt++
	return ceiling/2 + rand.N(ceiling/2+1)
}

// Reset begins again, after a success.
func (b *Backoff) Reset() { b.attempt = 0 }

// Sleep waits, or returns the context's error.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
