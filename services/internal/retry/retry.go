// Package retry is what loops have in common that try until something works: how long they wait
// between attempts, and when they say why.
package retry

import (
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is the wait between attempts: a random time of up to a ceiling that doubles with each
// attempt, from First to Most. (Full jitter, by AWS Architecture Blog, "Exponential Backoff And
// Jitter": those that failed together don't come back together.)
type Backoff struct {
	First, Most time.Duration

	ceiling time.Duration // of the next wait; 0: First
}

// Next returns how long to wait before the next attempt.
func (b *Backoff) Next() time.Duration {
	if b.ceiling == 0 {
		b.ceiling = b.First
	}
	ceiling := min(b.ceiling, b.Most)
	b.ceiling = 2 * ceiling
	return rand.N(ceiling + 1)
}

// Reset begins again, after a success.
func (b *Backoff) Reset() { b.ceiling = 0 }

// Around returns a random time from half of d to one and a half of it, for loops whose pause others
// need, too.
func Around(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// Sleep waits for d; if ctx ends before, it returns the context's error.
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

// Reason is why the last attempt failed. A loop that logs only when it changes doesn't fill the log
// with one line. The zero value is that nothing has failed.
type Reason struct{ text string }

// Changed notes why an attempt failed, and reports whether the one before failed for another reason
// or did not fail.
func (r *Reason) Changed(err error) bool {
	changed := r.text != err.Error()
	r.text = err.Error()
	return changed
}

// Clear notes that an attempt succeeded, and reports whether the one before failed.
func (r *Reason) Clear() (failed bool) {
	failed = r.text != ""
	r.text = ""
	return failed
}
