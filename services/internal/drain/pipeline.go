package drain

import (
	"context"
	"errors"
	"time"

	"github.com/trailpost/trailpost/services/internal/event"
)

// pipeline drains one session in two stages: while a batch is on its way into the
// trail, the next is collected. One goroutine runs it and is the only one that uses the
// session; each batch on its way has one of its own.
type pipeline struct {
	*Worker
	session Session
	status  *status

	held  *message // taken, and left for the next batch
	ahead *attempt // on its way; nil: none

	// Memory that is used again.
	taken []event.Event // a message's events, until they are in a batch
	spare []event.Event // a batch's
}

// errAbandoned ends the span of a batch that is not acked since its session is lost.
var errAbandoned = errors.New("the session was lost meanwhile")

// run drains until take ends or the session is lost. Nothing is on its way when it returns.
func (p *pipeline) run(take, work context.Context) error {
	defer func() {
		if p.ahead != nil {
			<-p.ahead.done
			p.ahead.span.end(errAbandoned)
		}
		p.status.holds(time.Time{})
	}()
	for take.Err() == nil {
		b, err := p.collect(take)
		if err != nil {
			return err
		}
		if err := p.settle(); err != nil {
			return err
		}
		if !b.empty() {
			p.send(take, work, b)
		}
	}
	return p.settle()
}

// send sets a batch on its way.
func (p *pipeline) send(take, work context.Context, b *batch) {
	p.status.holds(b.oldest())
	a := &attempt{Worker: p.Worker, session: p.session, status: p.status, batch: b, done: make(chan struct{})}
	a.under, a.through = context.WithCancel(take)
	p.ahead = a
	go func() {
		defer a.through()
		defer close(a.done)
		a.pass(work)
	}()
}

// settle waits for the batch on its way and acks it: each event of it is committed or a
// dead letter.
func (p *pipeline) settle() (err error) {
	a := p.ahead
	if a == nil {
		return nil
	}
	<-a.done
	p.ahead = nil
	defer func() { a.span.end(err) }()
	if a.err != nil {
		return a.err
	}
	if p.opts.AfterCommit != nil {
		p.opts.AfterCommit()
	}
	if err := p.session.Ack(a.batch.lastTag(), len(a.batch.messages)); err != nil {
		return err
	}
	p.status.holds(time.Time{})
	a.report()
	clear(a.batch.events) // lets the messages' bodies go
	p.spare = a.batch.events[:0]
	return nil
}

// collect waits for a message, and takes what else is there, up to a batch. It waits for
// more for as long as one is on its way, and otherwise no longer than [Worker.linger].
// The batch is empty when take has ended.
func (p *pipeline) collect(take context.Context) (*batch, error) {
	b := &batch{events: p.spare}
	p.spare = nil
	var deadline time.Time
	for b.count < p.opts.BatchSize && b.bytes < maxBatchBytes {
		if p.ahead.isDone() {
			if err := p.settle(); err != nil {
				return nil, err
			}
		}
		m, ok, err := p.receive(take, b.empty(), deadline)
		if err != nil {
			return nil, err
		}
		if !ok {
			if take.Err() == nil && (b.empty() || p.ahead != nil) {
				continue
			}
			break
		}
		if !b.empty() && (m.alone() || !p.fits(b, &m)) {
			p.held = &m
			break
		}
		if b.empty() {
			b.began = time.Now()
		}
		b.add(m)
		if m.alone() {
			break
		}
		if deadline.IsZero() {
			deadline = b.began.Add(p.linger(b))
		}
	}
	return b, nil
}

// receive returns the message that was held back, or the next one. It returns without
// one when take ends, and, if a batch is on its way, when that is done.
func (p *pipeline) receive(take context.Context, first bool, deadline time.Time) (m message, ok bool, err error) {
	if p.held != nil {
		m, p.held = *p.held, nil
		return m, true, nil
	}
	until, wait := take, time.Duration(-1)
	switch {
	case p.ahead != nil:
		until = p.ahead.under
	case !first:
		wait = max(0, time.Until(deadline))
	}
	d, ok, err := p.session.Receive(until, wait)
	if err != nil || !ok {
		return m, false, err
	}
	m = read(d, p.opts.IdentityKey, p.opts.Now(), p.taken)
	p.taken = m.events
	return m, true, p.session.ObserveSize(m.count())
}
