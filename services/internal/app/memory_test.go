package app

import (
	"runtime/debug"
	"testing"
)

func TestTheEnvironmentGoesBeforeOurGarbageCollection(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	t.Setenv("GOMEMLIMIT", "1GiB")
	for environ, want := range map[string]int{"50": 100, "": gcPercent} {
		debug.SetGCPercent(100) // as the runtime would have for GOGC
		t.Setenv("GOGC", environ)
		tuneMemory()
		if got := debug.SetGCPercent(100); got != want {
			t.Errorf("GOGC=%q: %d, want %d", environ, got, want)
		}
	}
	if got := debug.SetMemoryLimit(-1); got != limit {
		t.Errorf("GOMEMLIMIT: %d bytes, want the runtime's %d", got, limit)
	}
}
