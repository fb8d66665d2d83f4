package publish

import (
	"errors"
	"fmt"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// What a session asks of its publisher, and tells it. Each of these holds Publisher.mu for as long
// as it takes to ask the scheduler, and adds what that leaves out: spans, metrics and the log.

// next returns what to do now.
func (p *Publisher) next() decision {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.scheduler.next(time.Now())
	if g := d.send; g != nil && !d.again {
		p.startPublishSpanLocked(g)
		p.showInFlightLocked()
		p.metrics.Sent(len(g.items))
	}
	return d
}

// confirm answers the group of a publish number. On a return in returned the broker held the
// message nowhere.
func (p *Publisher) confirm(number uint64, ack bool, returned map[uint64]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, text := range returned {
		if g := p.scheduler.window.remove(n); g != nil {
			p.failLocked(g, "returned", fmt.Errorf("unroutable: %s", text))
		}
	}
	g := p.scheduler.window.remove(number)
	p.showInFlightLocked()
	if g != nil {
		now := time.Now()
		p.metrics.Answered(now.Sub(g.sent))
		p.refusals.note(ack, now)
		if ack {
			p.metrics.Confirmed(len(g.items))
			g.endSpan("", nil)
			g.answer(nil)
		} else {
			p.failLocked(g, "nacked", broker.ErrRefused)
		}
	}
	p.signal()
	p.closeIfDrainedLocked()
}

// failLocked answers a group whose outcome is unknown or negative.
func (p *Publisher) failLocked(g *group, cause string, reason error) {
	p.metrics.Unconfirmed(cause, len(g.items))
	g.endSpan(cause, reason)
	g.answer(fmt.Errorf("%w: %w", broker.ErrNotConfirmed, reason))
}

func (p *Publisher) showInFlightLocked() {
	p.metrics.InFlight(len(p.scheduler.window.groups))
}

// errRefusing ends a channel on which the broker refuses everything.
var errRefusing = errors.New("the broker refuses every message (nack): is the queue full?")

// refusesChannel reports whether the broker has refused all for so long that it may be this channel
// that it refuses. A quorum queue that was full tells its channels when it takes messages again;
// when its limit is lifted (a policy cleared), RabbitMQ forgets to, and refuses what comes on them
// for ever (seen with 3.10.8).
func (p *Publisher) refusesChannel() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refusals.lasting(time.Now(), p.refusalLimit)
}

// setBlocked answers all that waits as soon as the broker stops taking messages. Outstanding ones
// stay so: their confirms may come when it takes them again.
func (p *Publisher) setBlocked(active bool, reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !active {
		p.scheduler.unblock(time.Now())
		p.cfg.Logger.Info("rabbitmq takes messages again")
		p.signal()
		return
	}
	if reason == "" {
		reason = "it gave no reason"
	}
	p.cfg.Logger.Error("rabbitmq blocks publishers", "reason", reason)
	why := fmt.Errorf("%w: %s", broker.ErrBlocked, reason)
	for _, g := range p.scheduler.block(reason, why) {
		p.failLocked(g, "blocked", why)
	}
}

// overdue reports whether a message has waited for its confirm for too long.
func (p *Publisher) overdue() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.scheduler.overdue(time.Now().Add(-p.cfg.ConfirmTimeout))
}
