// Package lifecycle ends what a service has begun: the last first, each once, whether the service was
// run or only made.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Stops is what is to be stopped. The zero value has nothing. It is safe for concurrent use.
type Stops struct {
	mu   sync.Mutex
	list []stop
}

type stop struct {
	name string
	f    func(context.Context) error
}

// OnStop registers what stops a thing, as soon as the thing exists. f gets the context of
// [Stops.Stop], and returns its error when there was no time.
func (s *Stops) OnStop(name string, f func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, stop{name, f})
}

// Stop stops all that is registered, in reverse, and goes on where one fails. It returns what failed,
// by name. What was stopped is not stopped again.
func (s *Stops) Stop(ctx context.Context) error {
	s.mu.Lock()
	list := s.list
	s.list = nil
	s.mu.Unlock()
	var errs []error
	for _, stop := range slices.Backward(list) {
		if err := stop.f(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", stop.name, err))
		}
	}
	return errors.Join(errs...)
}

// Background runs functions until it is stopped.
type Background struct {
	ctx     context.Context //nolint:containedctx // it is what the functions live by
	end     context.CancelFunc
	running sync.WaitGroup
}

// NewBackground returns one that runs nothing yet.
func NewBackground() *Background {
	b := &Background{}
	b.ctx, b.end = context.WithCancel(context.Background())
	return b
}

// Go runs f, whose context ends when b is stopped.
func (b *Background) Go(f func(context.Context)) { b.running.Go(func() { f(b.ctx) }) }

// Stop ends the context of all functions and waits until they have returned, even after its own has
// ended: they have nothing more to wait for. It returns nil; it is what [Stops.OnStop] takes.
func (b *Background) Stop(context.Context) error {
	b.end()
	b.running.Wait()
	return nil
}
