package transport

import (
	"testing"
	"time"
)

func TestJitter(t *testing.T) {
	now := time.Now()
	for _, c := range []struct{ left, room time.Duration }{
		{5 * time.Second, 2500 * time.Millisecond},
		{2 * time.Minute, MaxJitter},
		{time.Nanosecond, 0},
		{0, 0},
		{-time.Hour, 0},
	} {
		deadline := now.Add(c.left)
		later := map[time.Time]bool{}
		for range 100 {
			got := jitter(deadline, c.left)
			later[got] = true
			if got.Before(deadline) || got.After(deadline.Add(c.room)) {
				t.Fatalf("with %s left: %s later, want at most %s", c.left, got.Sub(deadline), c.room)
			}
		}
		if (len(later) > 1) != (c.room > 0) {
			t.Errorf("with %s left: %d different deadlines", c.left, len(later))
		}
	}
	if got := jitter(time.Time{}, time.Until(time.Time{})); !got.IsZero() {
		t.Errorf("no deadline became %s", got)
	}
}
