package drain

import (
	"context"
	"errors"
	"time"
)

// pipeline drains one session in two stages: while a batch is in flight into the trail, the next is
// collected. One goroutine runs it and is the only one that uses the session; each batch in flight
// has a goroutine of its own.
type pipeline struct {
	opts    *Options
	session Session
	status  *status

	carryOver *message // received, but left for the next batch; nil: none
	inFlight  *attempt // nil: none
	buffers   eventBuffers
}

// errAbandoned ends the span of a batch that is not acked since its session is lost.
var errAbandoned = errors.New("the session was lost meanwhile")

// run drains until take ends or the session is lost. Nothing is in flight when it returns.
func (p *pipeline) run(take, work context.Context) error {
	defer func() {
		if p.inFlight != nil {
			<-p.inFlight.done
			p.inFlight.span.end(errAbandoned)
		}
		p.status.holds(time.Time{})
	}()
	for take.Err() == nil {
		b, err := p.collect(take)
		if err != nil {
			return err
		}
		if err := p.awaitAndAck(); err != nil {
			return err
		}
		if !b.empty() {
			p.startAttempt(take, work, b)
		}
	}
	return p.awaitAndAck()
}

// startAttempt puts a batch in flight.
func (p *pipeline) startAttempt(take, work context.Context, b *batch) {
	p.status.holds(b.oldest())
	a := &attempt{opts: p.opts, session: p.session, status: p.status, batch: b, done: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancel(take)
	p.inFlight = a
	go func() {
		defer a.cancel()
		defer close(a.done)
		a.storeOrDeadLetter(work)
	}()
}

// awaitAndAck waits for the batch in flight and acks it: each of its events is committed or a dead
// letter.
func (p *pipeline) awaitAndAck() (err error) {
	a := p.inFlight
	if a == nil {
		return nil
	}
	<-a.done
	p.inFlight = nil
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
	p.buffers.giveBackBatch(a.batch.events)
	return nil
}

// collect waits for a message, and takes what else is there, up to a batch. It waits for more for
// as long as a batch is in flight, and otherwise no longer than [batch.linger]. The batch is empty
// when take has ended.
func (p *pipeline) collect(take context.Context) (*batch, error) {
	b := &batch{events: p.buffers.takeBatch()}
	var deadline time.Time
	for b.count < p.opts.BatchSize && b.bytes < maxBatchBytes {
		if p.inFlight.isDone() {
			if err := p.awaitAndAck(); err != nil {
				return nil, err
			}
		}
		m, ok, err := p.receive(take, b.empty(), deadline)
		if err != nil {
			return nil, err
		}
		if !ok {
			if take.Err() == nil && (b.empty() || p.inFlight != nil) {
				continue
			}
			break
		}
		if !b.empty() && (m.alone() || !b.fits(&m, p.opts.BatchSize)) {
			p.carryOver = &m
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
			deadline = b.began.Add(b.linger(p.opts.Linger, p.opts.Now()))
		}
	}
	return b, nil
}

// receive returns the message that was carried over, or the next one. It returns without one when
// take ends, and, if a batch is in flight, when that is done.
func (p *pipeline) receive(take context.Context, first bool, deadline time.Time) (m message, ok bool, err error) {
	if p.carryOver != nil {
		m, p.carryOver = *p.carryOver, nil
		return m, true, nil
	}
	until, wait := take, time.Duration(-1)
	switch {
	case p.inFlight != nil:
		until = p.inFlight.ctx
	case !first:
		wait = max(0, time.Until(deadline))
	}
	d, ok, err := p.session.Receive(until, wait)
	if err != nil || !ok {
		return m, false, err
	}
	m = read(d, p.opts.IdentityKey, p.opts.Now(), p.buffers.message)
	p.buffers.message = m.events
	return m, true, p.session.ObserveSize(m.count())
}
