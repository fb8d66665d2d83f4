package drain

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// modelSession is a Session on the model's queue.
type modelSession struct {
	*process
	prefetch int
	tag      uint64   // the last
	acked    uint64   // the last
	unacked  []handed // in the order of tags
	gone     bool     // the broker has ended it
	known    bool     // the worker can know
	closed   bool     // by the worker
}

// handed is a message in the worker's hands.
type handed struct {
	tag     uint64
	message *queued
	returns int64 // when it was handed out
}

// connect is the worker's Open.
func (p *process) connect(prefetch int) func(context.Context, func(error)) (Session, error) {
	return func(ctx context.Context, changed func(error)) (Session, error) {
		f := p.step("open")
		if f == refuse || f == hang || f == trouble {
			changed(errModel)
			if !sleep(ctx, time.Minute) {
				return nil, ctx.Err()
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if s := p.session; s != nil && !s.closed {
			p.breaks("a second session while the first is not closed")
		}
		p.session = &modelSession{process: p, prefetch: prefetch}
		p.failed = false
		return p.session, nil
	}
}

// lose hands back what was not acked. The caller holds mu.
func (s *modelSession) lose(known bool) {
	s.known = s.known || known
	if s.gone {
		return
	}
	s.gone = true
	var back []*queued
	for _, h := range s.unacked {
		h.message.Redelivered = true
		h.message.Returns++
		back = append(back, h.message)
	}
	s.unacked = nil
	s.ready = slices.Concat(back, s.ready)
	s.wake()
}

func (s *modelSession) Receive(ctx context.Context, wait time.Duration) (broker.Delivery, bool, error) {
	f := s.step("receive")
	if f == refuse || f == half || f == late {
		s.process.lose(true)
	}
	var timeout <-chan time.Time
	if wait >= 0 {
		timeout = time.After(wait)
	}
	for {
		s.live()
		d, ok, changed, err := s.take()
		if err != nil || ok {
			s.after(f)
			return d, ok, err
		}
		select {
		case <-changed:
		case <-timeout:
			return d, false, nil
		case <-ctx.Done():
			return d, false, nil
		}
	}
}

// take hands out the next message, if there is one. Otherwise changed is closed when it
// is worth trying again.
func (s *modelSession) take() (d broker.Delivery, ok bool, changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
		s.known = true
		return d, false, nil, fmt.Errorf("%w: %w", broker.ErrSessionLost, errModel)
	case len(s.ready) == 0 || len(s.unacked) >= s.prefetch:
		return d, false, s.changed, nil
	}
	message := s.ready[0]
	s.ready = s.ready[1:]
	s.tag++
	s.unacked = append(s.unacked, handed{s.tag, message, message.Returns})
	d = message.Delivery
	d.Tag, d.Body = s.tag, slices.Clone(d.Body)
	return d, true, nil, nil
}

func (s *modelSession) ObserveSize(int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known {
		return broker.ErrSessionLost
	}
	return nil
}

func (s *modelSession) Ack(tag uint64, n int) error {
	f := s.step("ack")
	if f == refuse || f == trouble || f == half { // the channel closes before the ack is written
		s.process.lose(true)
		return broker.ErrSessionLost
	}
	if f == hang { // it is written, and the broker never gets it
		s.process.lose(false)
		return nil
	}
	s.mu.Lock()
	known := s.known
	if !s.gone {
		s.settle(tag, n)
	}
	s.mu.Unlock()
	s.after(f)
	if known {
		return broker.ErrSessionLost
	}
	if f == late {
		s.process.lose(true)
		return broker.ErrSessionLost
	}
	return nil
}

// settle is the broker's side of an ack, where the promises are held against what
// is acked. The caller holds mu.
func (s *modelSession) settle(tag uint64, n int) {
	if tag <= s.acked || tag > s.tag {
		s.breaks("ack of tag %d after %d, of %d", tag, s.acked, s.tag)
		return
	}
	s.acked = tag
	covered := 0
	for covered < len(s.unacked) && s.unacked[covered].tag <= tag {
		covered++
	}
	if covered != n {
		s.breaks("ack of %d messages that covers %d", n, covered)
	}
	for _, h := range s.unacked[:covered] {
		for _, e := range h.message.ends {
			if row, letter := s.ended(e); !row && !letter {
				s.breaks("message %d is acked before its events are settled: %+v", h.message.number, e)
			}
		}
		if h.returns >= aloneAfter && covered > 1 {
			s.breaks("message %d came back %d times and is in a batch of %d", h.message.number, h.returns, covered)
		}
	}
	s.unacked = slices.Clone(s.unacked[covered:])
	s.open -= covered
	if s.open == 0 && covered > 0 {
		close(s.settled)
	}
	s.wake()
}

func (*modelSession) Why() error { return nil }

func (s *modelSession) Lost() bool {
	s.live()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

func (s *modelSession) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.breaks("a session is closed twice")
	}
	s.closed = true
	s.lose(true)
}

// sleep reports whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
