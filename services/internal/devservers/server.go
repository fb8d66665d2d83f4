package devservers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trailpost/trailpost/services/internal/devservers/engine"
)

// startTimeout is generous: a loaded machine of one core starts RabbitMQ in half a
// minute, and a server that can't start says so itself long before.
const startTimeout = 3 * time.Minute

// Mark is a place in a server's log.
type Mark = engine.Mark

// ErrAttached answers Start, Stop and Kill of servers that another process holds.
var ErrAttached = errors.New("these servers belong to another process")

// server is what PostgreSQL and RabbitMQ have in common.
type server struct {
	name     string
	engine   engine.Engine
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
	mark := s.engine.Mark()
	if err := s.engine.Start(ctx); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	if err := s.awaitReady(ctx); err != nil {
		err = errors.Join(err, s.engine.Kill())
		return fmt.Errorf("start %s: %w\nthe end of its log:\n%s", s.name, err, s.engine.Since(mark, 40))
	}
	return nil
}

// Running reports whether the server has been started and has not ended. A server
// of another process is taken to run.
func (s *server) Running() bool {
	if s.attached {
		return true
	}
	done := s.engine.Done()
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
	done := s.engine.Done()
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
		ctx, cancel := context.WithTimeout(ctx, engine.StopTimeout)
		defer cancel()
		return s.engine.Stop(ctx)
	})
}

// Kill ends every process of the server at once, as a power cut would.
func (s *server) Kill() error { return s.end(s.engine.Kill) }

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
func (s *server) Done() <-chan struct{} { return s.engine.Done() }

// Mark is a place in a server's log.
func (s *server) Mark() engine.Mark { return s.engine.Mark() }

// LogSince returns at most that many of the last lines that were logged after the
// mark; the zero Mark is the beginning.
func (s *server) LogSince(m engine.Mark, lines int) string { return s.engine.Since(m, lines) }
