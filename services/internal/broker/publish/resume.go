package publish

import (
	"errors"
	"fmt"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/connection"
)

// resume goes on with another channel of the connection, if only the channel is lost; another
// reason is returned. What was published and not answered is published again, under the same
// event_ids, so that a part that the broker has taken is stored once all the same.
func (s *session) resume(lost error) error {
	refusal := connection.AsTooLarge(lost)
	switch {
	case s.conn.IsClosed():
		return lost
	case errors.Is(lost, errRefusing):
		if err := s.leaveRefusing(); err != nil {
			return err
		}
	case refusal != nil:
		s.publisher.cfg.Logger.Warn("rabbitmq has closed the channel: a message was too large. Events that are as large are answered 413 from now on", "error", lost)
		if !s.publisher.learn(refusal.Limit) {
			return lost
		}
	default:
		return lost
	}
	if err := s.openChannel(); err != nil {
		return err
	}
	s.publisher.republish()
	return nil
}

// leaveRefusing closes a channel on which everything was refused, and takes what the broker still
// answers on it. The connection stays: a full queue is the same for every replica, and must turn
// none of them unready.
func (s *session) leaveRefusing() error {
	s.publisher.noteRefusing()
	if err := s.ch.Close(); err != nil {
		return fmt.Errorf("close channel: %w", s.ch.Explain(err))
	}
	for confirm := range s.ch.Confirms {
		s.publisher.confirm(confirm.DeliveryTag, confirm.Ack, s.drainReturns())
	}
	return nil
}

// noteRefusing logs that a channel is left because everything was refused on it, loudly the first
// time.
func (p *Publisher) noteRefusing() {
	p.mu.Lock()
	again := p.refusals.channelLeft()
	p.mu.Unlock()
	const text = "rabbitmq has refused every message for a while: is the queue full? Now and then another channel asks"
	if again {
		p.cfg.Logger.Debug(text, "within", p.refusalLimit)
	} else {
		p.cfg.Logger.Warn(text, "within", p.refusalLimit)
	}
}

// learn keeps the broker's limit of a message, and answers all who have an event over it. It
// reports whether a message was over it, by what we know.
func (p *Publisher) learn(limit int) (explained bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	over, explained := p.scheduler.learn(limit)
	for _, g := range over {
		refusal := tooLarge(limit, g.items...)
		p.metrics.Unconfirmed("too_large", len(g.items))
		g.endSpan("too_large", refusal)
		g.refuse(refusal)
	}
	return explained
}

// republish has what was outstanding on the channel before written on the new one, if somebody
// still waits for it, in groups of a size that the broker takes.
func (p *Publisher) republish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusals.newChannel()
	for _, g := range p.scheduler.channelLost() {
		if !g.isAwaited() {
			g.endSpan("given_up", broker.ErrNotConfirmed)
			continue
		}
		parts := g.split(p.scheduler.bounds())
		if len(parts) > 1 {
			g.endSpan("too_large", broker.ErrSessionLost)
		}
		for _, part := range parts {
			p.scheduler.addAgain(part, time.Now())
		}
	}
	p.showInFlightLocked()
	p.signal()
	p.closeIfDrainedLocked()
}
