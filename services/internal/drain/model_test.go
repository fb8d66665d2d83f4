package drain

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// model is a queue, a trail and a dead-letter queue that only keep what the real ones
// promise, and a note of every promise that the drain breaks.
type model struct {
	mu      sync.Mutex // guards all below
	ready   []*queued  // in the queue's order
	open    int        // messages that are not acked yet
	rows    map[uuid.UUID]string
	letters map[string]int // by key
	broken  []string
	calm    bool          // no more faults
	changed chan struct{} // closed when something is ready, or a session is lost
	settled chan struct{} // closed when every message is acked
}

// queued is a message, and the keys of what must become of it.
type queued struct {
	broker.Delivery
	number int
	ends   []ending
}

// ending is what one line of a message, or a message as a whole, may end as.
type ending struct {
	id     uuid.UUID // of an event that may become a row
	row    string    // the row's content; "" where none may be
	letter string    // the letter's key; "" where none may be
}

func newModel(messages []*queued) *model {
	return &model{
		ready: slices.Clone(messages), open: len(messages), rows: map[uuid.UUID]string{}, letters: map[string]int{},
		changed: make(chan struct{}), settled: make(chan struct{}),
	}
}

// breaks notes a broken promise. The caller holds mu.
func (m *model) breaks(format string, args ...any) {
	m.broken = append(m.broken, fmt.Sprintf(format, args...))
}

// wake wakes who waits for a message. The caller holds mu.
func (m *model) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// ended tells what became of e: a row, a letter, both (which is wrong) or neither.
// The caller holds mu.
func (m *model) ended(e ending) (row, letter bool) {
	content, found := m.rows[e.id]
	return e.row != "" && found && content == e.row, e.letter != "" && m.letters[e.letter] > 0
}

// fault is what goes wrong in one step of the drain.
type fault int

const (
	nothing     fault = iota
	refuse            // the step fails without an effect
	trouble           // the same, and PostgreSQL says that somebody has to look
	half              // the step fails with half of its effect
	late              // the step fails although it had its effect
	hang              // the step never answers
	crashBefore       // the process ends before the step
	crashAfter        // the process ends after the step had its effect
	lose              // the session is lost before the step, and the worker can know
	loseUnseen        // the session is lost before the step, and the worker can't know yet
	stop              // SIGTERM comes before the step
	abort             // the time that SIGTERM leaves is over before the step
	abortLate         // it is over after the step had its effect
	faults            // how many there are
)

func (f fault) String() string {
	return [...]string{
		"nothing", "refuse", "trouble", "half", "late", "hang", "crashBefore", "crashAfter", "lose", "loseUnseen", "stop", "abort", "abortLate",
	}[f]
}

var errModel = errors.New("the model's fault")

// process is one life of a worker's process: it ends by a crash, a signal, or with the test.
type process struct {
	*model
	script   *script
	stopTake context.CancelFunc
	stopWork context.CancelFunc
	health   *Health
	session  *modelSession // nil before the first, and after a crash
	storing  bool          // Store has been called and has not returned
	failed   bool          // what it returned last, in this session, was a failure
	crashed  bool
	closed   bool // its store
}

// script is what goes wrong in a worker's steps, one after the other, over all of
// its processes.
type script struct {
	faults []fault
	steps  []string // that were taken, for a failure's message
}

// step returns the fault of the next step. A stop or a crash before the step has
// happened when it returns, or it does not return.
func (p *process) step(what string) fault {
	p.live()
	p.mu.Lock()
	f := nothing
	if len(p.script.faults) > 0 && !p.calm {
		f, p.script.faults = p.script.faults[0], p.script.faults[1:]
	}
	p.script.steps = append(p.script.steps, fmt.Sprintf("%s: %s", what, f))
	p.mu.Unlock()
	switch f {
	case stop:
		p.stopTake()
	case abort:
		p.stopTake()
		p.stopWork()
	case crashBefore:
		p.crash()
	case lose, loseUnseen:
		p.lose(f == lose)
	}
	return f
}

// after does what a fault does when the step had its effect.
func (p *process) after(f fault) {
	switch f {
	case crashAfter:
		p.crash()
	case abortLate:
		p.stopTake()
		p.stopWork()
	}
}

// crash ends the process where it stands, as kill -9 does: the broker sees the
// connection end, and no other goroutine of it gets beyond the step that it is in.
func (p *process) crash() {
	p.lose(true)
	p.mu.Lock()
	p.crashed, p.session = true, nil
	p.mu.Unlock()
	runtime.Goexit()
}

// live does not return in a process that has crashed.
func (p *process) live() {
	p.mu.Lock()
	crashed := p.crashed
	p.mu.Unlock()
	if crashed {
		runtime.Goexit()
	}
}

// lose ends the session on the broker's side: what was not acked is ready again.
func (p *process) lose(known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session != nil {
		p.session.lose(known)
	}
}
