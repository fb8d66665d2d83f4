package publish

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/queues"
	"github.com/trailpost/trailpost/services/internal/event"
)

// Publisher puts events on the queue, and says so only when the broker holds them durably:
// persistent, on a durable queue, confirmed.
//
// It has one connection, one channel and one publishing goroutine; all requests share them by group
// commit. It is safe for concurrent use.
type Publisher struct {
	cfg     broker.Config
	metrics *broker.Metrics
	queues  queues.Examiner
	wake    chan struct{} // capacity 1: there may be something to publish
	drained chan struct{} // closed when a closing publisher has nothing left

	refusalLimit time.Duration // how long a channel may be refused everything; tests have less time

	mu        sync.Mutex // guards what follows
	scheduler scheduler
	session   *session // nil while disconnected
	reason    error    // why there is no session
	refusals  refusals
	closing   bool
}

// NewPublisher returns a publisher that [Publisher.Run] brings to life.
func NewPublisher(cfg broker.Config, metrics *broker.Metrics) *Publisher {
	cfg = cfg.WithDefaults()
	return &Publisher{
		cfg:       cfg,
		metrics:   metrics,
		wake:      make(chan struct{}, 1),
		drained:   make(chan struct{}),
		scheduler: newScheduler(cfg.EventsPerMessage),
		reason:    errors.New("not connected yet"),

		refusalLimit: 5 * time.Second,
	}
}

// Publish returns nil when the broker has confirmed e. Otherwise the error is an ErrUnavailable
// (nothing was published), an ErrNotConfirmed (the outcome is unknown) or a TooLargeError (the
// broker takes no such message). When ctx ends, or after [broker.Config.RequestTimeout], it
// withdraws its event if no group has taken it. (A timer of its own, since a context with a
// deadline, in a request's context, costs 3 % of what a producer does for an event.)
func (p *Publisher) Publish(ctx context.Context, e *event.Event) (err error) {
	span := p.startSendSpan(ctx, e, 1)
	defer func() { span.end(err) }()
	s := &singleRequest{item: span.item(e), result: make(chan error, 1)}
	if err := p.enqueue(func() { p.scheduler.singles.add(s) }, s.item); err != nil {
		return err
	}
	timeout := time.NewTimer(p.cfg.RequestTimeout)
	defer timeout.Stop()
	select {
	case outcome := <-s.result:
		return outcome
	case <-ctx.Done():
		return p.withdraw(s, ctx.Err())
	case <-timeout.C:
		return p.withdraw(s, context.DeadlineExceeded)
	}
}

// withdraw takes an event back that its request gave up, if no group has taken it.
func (p *Publisher) withdraw(s *singleRequest, gaveUp error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case err := <-s.result:
		return err
	default:
	}
	if s.state == waiting {
		p.scheduler.singles.withdraw(s)
		p.closeIfDrainedLocked()
		return fmt.Errorf("%w: gave up before it was published: %w", broker.ErrUnavailable, gaveUp)
	}
	return fmt.Errorf("%w in time: %w", broker.ErrNotConfirmed, gaveUp)
}

// PublishBatch is Publish for many: nil means that every event is confirmed. After a group of the
// batch fails, no more of it is published. A TooLargeError names the event; other events of the
// batch may have been published where it is an ErrNotConfirmed, too.
func (p *Publisher) PublishBatch(ctx context.Context, events []event.Event) (err error) {
	if len(events) == 0 {
		return nil
	}
	span := p.startSendSpan(ctx, &events[0], len(events))
	defer func() { span.end(err) }()
	b := &batchRequest{items: make([]item, len(events)), result: make(chan error, 1)}
	for i := range events {
		b.items[i] = span.item(&events[i])
		b.items[i].index = i
	}
	if err := p.enqueue(func() { p.scheduler.batches.add(b) }, b.items...); err != nil {
		return err
	}
	timeout := time.NewTimer(p.cfg.RequestTimeout)
	defer timeout.Stop()
	gaveUp := context.DeadlineExceeded
	select {
	case outcome := <-b.result:
		return outcome
	case <-ctx.Done():
		gaveUp = ctx.Err()
	case <-timeout.C:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b.giveUp(gaveUp)
	p.closeIfDrainedLocked()
	return <-b.result
}

// enqueue lets events into a lane, unless they could not be published now.
func (p *Publisher) enqueue(add func(), items ...item) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.readyLocked(); err != nil {
		return err
	}
	if err := tooLarge(p.scheduler.limit, items...); err != nil {
		return err
	}
	add()
	p.signal()
	return nil
}

// signal wakes the publishing goroutine.
func (p *Publisher) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Ready returns nil while events can be published, else an ErrUnavailable that says why not.
func (p *Publisher) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readyLocked()
}

func (p *Publisher) readyLocked() error {
	switch {
	case p.closing:
		return fmt.Errorf("%w: shutting down", broker.ErrUnavailable)
	case p.session == nil:
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, p.reason)
	case p.scheduler.blocked != "":
		return fmt.Errorf("%w: %w: %s", broker.ErrUnavailable, broker.ErrBlocked, p.scheduler.blocked)
	}
	return nil
}

// Refused returns an ErrRefused while the broker's last word, of a minute ago at most, was a
// refusal; else nil. Ready is nil all the same: an event that is published now may be taken.
func (p *Publisher) Refused() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusals.recent(time.Now()) {
		return broker.ErrRefused
	}
	return nil
}

// Close lets nothing more in, and waits until all that was let in is answered or ctx ends. Call it
// after the last handler returned and before Run's context ends.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closing = true
	p.closeIfDrainedLocked()
	p.mu.Unlock()
	select {
	case <-p.drained:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close publisher: confirms are outstanding: %w", ctx.Err())
	}
}

// closeIfDrainedLocked notes when a closing publisher has nothing left.
func (p *Publisher) closeIfDrainedLocked() {
	if !p.closing || !p.scheduler.empty() {
		return
	}
	select {
	case <-p.drained:
	default:
		close(p.drained)
	}
}
