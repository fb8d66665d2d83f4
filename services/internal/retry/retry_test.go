package retry_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trailpost/trailpost/services/internal/retry"
)

// Waits lie between nothing and a ceiling that doubles up to the most, and use all of that.
func TestBackoff(t *testing.T) {
	const rounds = 2000
	ceilings := []time.Duration{100, 200, 400, 800, 1000, 1000}
	longest, shortest := make([]time.Duration, len(ceilings)), make([]time.Duration, len(ceilings))
	b := retry.Backoff{First: 100, Most: 1000}
	for range rounds {
		for i, ceiling := range ceilings {
			d := b.Next()
			if d < 0 || d > ceiling {
				t.Fatalf("attempt %d: %d, want at most %d", i, d, ceiling)
			}
			longest[i], shortest[i] = max(longest[i], d), max(shortest[i], ceiling-d)
		}
		b.Reset()
	}
	for i, ceiling := range ceilings {
		if longest[i] < ceiling*9/10 || shortest[i] < ceiling*9/10 {
			t.Errorf("attempt %d: of %d rounds the waits were %d to %d, want nearly 0 to %d", i, rounds, ceiling-shortest[i], longest[i], ceiling)
		}
	}
}

// Years of attempts overflow nothing.
func TestBackoffForEver(t *testing.T) {
	b := retry.Backoff{First: time.Millisecond, Most: 5 * time.Second}
	for range 1_000_000 {
		if d := b.Next(); d < 0 || d > 5*time.Second {
			t.Fatal(d)
		}
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := retry.Sleep(t.Context(), time.Minute); err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if err := retry.Sleep(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestReason(t *testing.T) {
	var r retry.Reason
	if r.Clear() {
		t.Error("failed before it began")
	}
	for i, c := range []struct {
		text    string
		changed bool
	}{{"a", true}, {"a", false}, {"b", true}, {"a", true}} {
		if got := r.Changed(errors.New(c.text)); got != c.changed {
			t.Errorf("%d: changed is %t", i, got)
		}
	}
	if !r.Clear() || r.Clear() {
		t.Error("it has not failed, or for ever")
	}
	if !r.Changed(errors.New("a")) {
		t.Error("a reason after a success is no new one")
	}
}
