package testbed

import "testing"

// Allocations is how many allocations do makes when nothing gets in its way: the fewest of 200
// runs. The average, which testing.AllocsPerRun returns, also holds what other goroutines
// allocate, and what a [sync.Pool] has to make again because the collector emptied it, or because
// under the race detector every fourth Put is dropped.
func Allocations(do func()) int {
	fewest := testing.AllocsPerRun(1, do)
	for range 199 {
		fewest = min(fewest, testing.AllocsPerRun(1, do))
	}
	return int(fewest)
}
