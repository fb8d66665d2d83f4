package devservers

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// startTimeout is generous: a loaded machine of one core starts RabbitMQ in half a
// minute, and a server that can't start says so itself long before.
const startTimeout = 3 * time.Minute

// stopTimeout is how long a server may take for a graceful stop before it is killed.
const stopTimeout = time.Minute

// ErrAttached answers Start, Stop and Kill of servers that another process holds.
var ErrAttached = errors.New("these servers belong to another process")

// engine runs one server: as a process or as a container.
type engine interface {
	start(ctx context.Context) error                       // launched, not yet ready
	done() <-chan struct{}                                 // closed when it has ended; nil before the first start
	stop(ctx context.Context) error                        // graceful, killed when ctx is done
	kill() error                                           // no grace
	release(ctx context.Context) error                     // all but the data
	discard(ctx context.Context) error                     // the data as well
	command(ctx context.Context, argv ...string) *exec.Cmd // a tool beside the server
	wrapper(argv ...string) string                         // the same as a line of shell
	mark() Mark
	since(m Mark, lines int) string
}

// server is what PostgreSQL and RabbitMQ have in common.
type server struct {
	name     string
	engine   engine
	attached bool
	prepare  func(ctx context.Context) error // makes what is missing in its folder
	ready    func(ctx context.Context) error // one attempt to log in

	mu sync.Mutex // held by Start, Stop and Kill
}

// Start starts the server and waits until it takes a login. The data, ports and
// passwords are those of the last time. If it ends before that, or takes longer
// than 3 minutes, the error holds the end of its log. It does nothing if it runs.
func (s *server) Start(ctx context.Context) error {
	if s.attached {
		return ErrAttached
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Running() {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready after %s", startTimeout))
	defer cancel()
	if err := s.prepare(ctx); err != nil {
		return fmt.Errorf("prepare %s: %w", s.name, err)
	}
	mark := s.engine.mark()
	if err := s.engine.start(ctx); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	if err := s.awaitReady(ctx); err != nil {
		err = errors.Join(err, s.engine.kill())
		return fmt.Errorf("start %s: %w\nthe end of its log:\n%s", s.name, err, s.engine.since(mark, 40))
	}
	return nil
}

// Running reports whether the server has been started and has not ended. A server
// of another process is taken to run.
func (s *server) Running() bool {
	if s.attached {
		return true
	}
	done := s.engine.done()
	if done == nil {
		return false
	}
	select {
	case <-done:
		return false
	default:
		return true
	}
}

func (s *server) awaitReady(ctx context.Context) error {
	done := s.engine.done()
	for {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		go func() { // a server that has ended will not answer this attempt either
			select {
			case <-done:
				cancel()
			case <-attempt.Done():
			}
		}()
		err := s.ready(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-done:
			return errors.New("it ended by itself")
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Stop stops the server in its own orderly way, closing clients' connections, and
// kills it if that takes longer than a minute or ctx is done. It does nothing if
// the server does not run.
func (s *server) Stop(ctx context.Context) error {
	return s.end(func() error {
		ctx, cancel := context.WithTimeout(ctx, stopTimeout)
		defer cancel()
		return s.engine.stop(ctx)
	})
}

// Kill ends every process of the server at once, as a power cut would.
func (s *server) Kill() error { return s.end(s.engine.kill) }

func (s *server) end(how func() error) error {
	if s.attached {
		return ErrAttached
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.Running() {
		return nil
	}
	if err := how(); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	return nil
}

// Done is closed when the server that was started last has ended, for whatever
// reason; nil before the first Start.
func (s *server) Done() <-chan struct{} { return s.engine.done() }

// Mark is a place in a server's log.
func (s *server) Mark() Mark { return s.engine.mark() }

// LogSince returns at most that many of the last lines that were logged after the
// mark; the zero Mark is the beginning.
func (s *server) LogSince(m Mark, lines int) string { return s.engine.since(m, lines) }

// run runs a command and returns its output; an error holds what it said.
func run(cmd *exec.Cmd, input string) ([]byte, error) {
	var out, problem strings.Builder
	if input != "" {
		cmd.Stdin = strings.NewReader(input)
	}
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(problem.String() + "\n" + out.String())
		return []byte(out.String()), fmt.Errorf("%w: %s", err, said)
	}
	return []byte(out.String()), nil
}
