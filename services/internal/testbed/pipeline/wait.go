package pipeline

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what takes milliseconds.
const Patience = 60 * time.Second

// Eventually waits until something holds, and fails the test if that takes too long.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	Within(t, Patience, what, holds)
}

// Within is Eventually with a limit.
func Within(t *testing.T, d time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(d)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", d, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
