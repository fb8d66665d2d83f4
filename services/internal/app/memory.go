package app

import (
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// Settings of Go's garbage collector (https://go.dev/doc/gc-guide), where GOGC and
// GOMEMLIMIT do not say otherwise. The live heap is a few MiB: letting it grow to three
// times that takes 8 MiB more and a fifth off what an event costs the consumer
// (hack/bench). Near the container's limit memory is collected as often as it takes.
const (
	gcPercent   = 200
	memoryShare = 0.9 // of the cgroup's limit; what is left is not Go's heap
)

// tuneMemory sets the garbage collector up. A limit that can't be read is none: the
// service works as well as without this.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	_, _ = memlimit.Set(memlimit.WithRatio(memoryShare))
}
