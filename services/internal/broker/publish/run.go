package publish

import (
	"context"
	"errors"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/connection"
	"github.com/trailpost/trailpost/services/internal/retry"
)

// Run keeps the publisher connected until ctx ends. It returns early, with an ErrTopology, only if
// the first connection finds that the queue can't be used as configured: that is a setting to
// correct, not a fault to wait out.
func (p *Publisher) Run(ctx context.Context) error {
	wait := connection.Backoff()
	var reason retry.Reason
	connected := false
	for ctx.Err() == nil {
		s, err := p.open(ctx)
		if err == nil {
			connected = true
			wait.Reset()
			reason.Clear()
			p.cfg.Logger.Info("connected to rabbitmq", "queue", p.cfg.Queue, "queue_type", string(p.cfg.QueueType))
			p.attach(s)
			err = s.serve(ctx)
		} else if errors.Is(err, broker.ErrTopology) && !connected {
			p.detach(err)
			return err
		}
		if ctx.Err() != nil {
			break
		}
		p.detach(err)
		if reason.Changed(err) {
			p.cfg.Logger.Error("no connection to rabbitmq; trying again until there is one", "error", err)
		}
		_ = retry.Sleep(ctx, wait.Next())
	}
	p.detach(errors.New("shutting down"))
	return nil
}

// open opens a session with queues that keep what they confirm, as far as is known.
func (p *Publisher) open(ctx context.Context) (*session, error) {
	s, err := openSession(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := p.queues.Check(ctx, p.cfg); err != nil {
		s.conn.Kill()
		return nil, err
	}
	return s, nil
}

// attach makes s the session that events are published on.
func (p *Publisher) attach(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session, p.reason = s, nil
	p.refusals.newSession()
}

// detach answers all: what was published is an unknown outcome, the rest was not published.
func (p *Publisher) detach(reason error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session, p.reason = nil, reason
	for _, g := range p.scheduler.connectionLost(reason) {
		p.failLocked(g, "connection_lost", reason)
	}
	p.metrics.InFlight(0)
	p.closeIfDrainedLocked()
}
