package broker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// resume goes on with another channel of the connection of s, if only the channel is lost; another reason is returned. What was published
// and not answered is published again, under the same event_ids, so that a part that the broker has taken is stored once all the same.
func (p *Publisher) resume(s *publisherSession, lost error) error {
	refusal := asTooLarge(lost)
	switch {
	case s.conn.IsClosed():
		return lost
	case errors.Is(lost, errRefusing):
		if err := p.leaveRefusing(s); err != nil {
			return err
		}
	case refusal != nil:
		if err := p.leaveTooLarge(s, lost, refusal); err != nil {
			return err
		}
	default:
		return lost
	}
	return p.renew(s)
}

// leaveTooLarge: the broker has closed the channel because of one message that is too large for it. That message's requests get a
// TooLargeError.
func (p *Publisher) leaveTooLarge(s *publisherSession, lost error, refusal *TooLargeError) error {
	p.cfg.Logger.Warn("rabbitmq has closed the channel: a message was too large. Events that are as large are answered 413 from now on", "error", lost)
	if !p.learn(s, refusal.Limit) {
		return lost
	}
	return nil
}

// leaveRefusing closes a channel on which everything was refused, and takes what the broker still answers on it. The connection
// stays: a full queue is the same for every replica, and must turn none of them unready.
func (p *Publisher) leaveRefusing(s *publisherSession) error {
	p.mu.Lock()
	again := s.refusing
	s.refusing = true
	p.mu.Unlock()
	const text = "rabbitmq has refused every message for a while: is the queue full? Now and then another channel asks"
	if again {
		p.cfg.Logger.Debug(text, "within", p.cfg.refusalLimit)
	} else {
		p.cfg.Logger.Warn(text, "within", p.cfg.refusalLimit)
	}
	if err := s.ch.Close(); err != nil {
		return fmt.Errorf("close channel: %w", s.notice.explain(err))
	}
	for confirm := range s.confirms {
		p.confirm(s, confirm.DeliveryTag, confirm.Ack, s.drainReturns())
	}
	return nil
}

// renew opens another channel, and publishes on it what has no answer.
func (p *Publisher) renew(s *publisherSession) error {
	if err := s.open(p.cfg); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s.refusedSince = time.Time{}
	again := s.removeAll()
	for _, g := range again {
		for _, part := range g.split(&p.lanes) {
			s.again = append(s.again, s.add(part, time.Now()))
		}
	}
	p.metrics.inFlight.Set(float64(len(s.outstanding)))
	p.signal()
	p.closeIfDrainedLocked()
	return nil
}

// learn keeps the limit, and answers all who have an event over it. It reports whether a message was over it, by what we know.
func (p *Publisher) learn(s *publisherSession, limit int) (explained bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.limit, p.lanes.mostBytes = limit, limit
	p.lanes.refuse(limit)
	for number, g := range s.outstanding {
		if g.bytes-1 <= limit {
			continue
		}
		explained = true
		if refusal := tooLarge(limit, g.items...); refusal != nil {
			s.remove(number)
			p.metrics.failed.WithLabelValues("too_large").Add(float64(len(g.items)))
			g.endSpan("too_large", refusal)
			g.refuse(refusal)
		}
	}
	return explained
}

// removeAll forgets all outstanding groups, and returns them in their order. It makes the session as one that has published nothing.
func (s *publisherSession) removeAll() []*group {
	var all []*group
	for _, number := range slices.Sorted(maps.Keys(s.outstanding)) {
		all = append(all, s.remove(number))
	}
	s.published, s.again = 0, nil
	return all
}

// refuse answers who waits for a group of one event, which is too large.
func (g *group) refuse(reason *TooLargeError) {
	if b := g.batch; b != nil {
		b.refuse(reason)
	}
	g.answer(reason)
}

// split makes groups that fit the lanes' bounds, of those events that somebody still waits for.
func (g *group) split(l *lanes) []*group {
	switch {
	case len(g.singles) == 0 && (g.batch == nil || g.batch.over):
		g.endSpan("given_up", ErrNotConfirmed)
		return nil
	case g.bytes-1 <= l.groupBytes() || len(g.items) == 1:
		return []*group{g}
	}
	g.endSpan("too_large", ErrSessionLost)
	parts := []*group{{isBatch: g.isBatch}}
	for i, it := range g.items {
		part := parts[len(parts)-1]
		if !part.fits(it, l.most, l.groupBytes()) {
			part = &group{isBatch: g.isBatch}
			parts = append(parts, part)
		}
		part.add(it)
		if !g.isBatch {
			part.singles = append(part.singles, g.singles[i])
		}
	}
	if b := g.batch; b != nil {
		b.outstanding += len(parts) - 1
		for _, part := range parts {
			part.batch = b
		}
	}
	return parts
}
