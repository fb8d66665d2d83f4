package drain

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Health is the state of a consumer's workers, as they report it themselves.
type Health struct {
	mu      sync.Mutex
	workers map[*status]struct{}
}

// NewHealth returns the health of workers that have not started yet.
func NewHealth() *Health { return &Health{workers: make(map[*status]struct{})} }

// status is the health of one worker.
type status struct {
	health *Health
	broker error     // why it has no session; nil if it has one
	store  error     // why it can't store; nil if it can
	oldest time.Time // when the oldest event that it holds was received; zero without events
}

func (h *Health) worker() *status {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &status{health: h, broker: errors.New("not connected to rabbitmq yet")}
	h.workers[s] = struct{}{}
	return s
}

// Ready returns nil while every worker has a session and nothing keeps it from storing.
func (h *Health) Ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.workers) == 0 {
		return errors.New("no worker runs")
	}
	for s := range h.workers {
		if s.broker != nil {
			return fmt.Errorf("rabbitmq: %w", s.broker)
		}
		if s.store != nil {
			return s.store
		}
	}
	return nil
}

// Connected reports whether every worker has a session with the broker.
func (h *Health) Connected() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.workers {
		if s.broker != nil {
			return false
		}
	}
	return len(h.workers) > 0
}

// OldestAge returns the age of the oldest event that a worker holds, by the producer's clock. It is
// 0 when no worker holds one and some worker has a session, since the broker would deliver a
// waiting event to it. Without either, known is false: events may wait that nobody here can see.
func (h *Health) OldestAge() (age time.Duration, known bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.workers {
		known = known || s.broker == nil || !s.oldest.IsZero()
		if !s.oldest.IsZero() {
			age = max(age, time.Since(s.oldest))
		}
	}
	return age, known
}

func (s *status) set(change func()) {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	change()
}

func (s *status) connected()             { s.set(func() { s.broker = nil }) }
func (s *status) disconnected(err error) { s.set(func() { s.broker, s.store = err, nil }) }
func (s *status) trouble(err error)      { s.set(func() { s.store = err }) }
func (s *status) fine()                  { s.set(func() { s.store = nil }) }
func (s *status) holds(oldest time.Time) { s.set(func() { s.oldest = oldest }) }
func (s *status) leave()                 { s.set(func() { delete(s.health.workers, s) }) }
