package engine

import (
	"context"
	"os/exec"
	"time"
)

// StopTimeout is how long a server may take for a graceful stop before it is killed.
const StopTimeout = time.Minute

// Engine runs one server: as a process or as a container.
type Engine interface {
	Start(ctx context.Context) error                       // launched, not yet ready
	Done() <-chan struct{}                                 // closed when it has ended; nil before the first start
	Stop(ctx context.Context) error                        // graceful, killed when ctx is done
	Kill() error                                           // no grace
	Release(ctx context.Context) error                     // all but the data
	Discard(ctx context.Context) error                     // the data as well
	Command(ctx context.Context, argv ...string) *exec.Cmd // a tool beside the server
	ShellLine(argv ...string) string                       // the same as a line of shell, with "$@" at its end
	Mark() Mark
	Since(m Mark, lines int) string // at most that many of the last lines that were logged after the mark
}

// Mark is a place in a server's log: the time for a container, sizes for files. The zero
// Mark is the beginning.
type Mark struct {
	Time  time.Time
	Sizes map[string]int64
}
