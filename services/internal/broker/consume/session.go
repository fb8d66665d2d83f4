package consume

import (
	"context"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/connection"
	"github.com/trailpost/trailpost/services/internal/broker/internal/netconn"
	"github.com/trailpost/trailpost/services/internal/broker/internal/queues"
)

// Session is the connection, channel and consumer of one worker. One goroutine uses it, except for
// Lost and Why, which any may call. Every error means that it is lost: what it delivered and was
// not acked comes again on another one.
type Session struct {
	cfg     broker.Config
	batch   int // events that the worker takes at once
	metrics *broker.Metrics

	conn   *connection.Connection
	window *netconn.ReadWindow
	ch     *connection.Channel // the broker closes it at a consumer timeout, or when the queue is gone

	generation int                  // number of the consumer
	deliveries <-chan amqp.Delivery // of the consumer
	previous   <-chan amqp.Delivery // of the one before, until it is empty

	unacked  int
	prefetch prefetch
}

func (s *Session) start(ctx context.Context, examiner *queues.Examiner) (err error) {
	if s.ch, err = s.conn.OpenChannel(); err != nil {
		return err
	}
	if err := queues.Declare(s.ch.Channel, s.cfg); err != nil {
		return err
	}
	// Before it consumes: the end of a consumer may be that of its queue.
	if err := examiner.Check(ctx, s.cfg); err != nil {
		return err
	}
	return s.consume()
}

// consume begins to take messages, with the prefetch as it is now.
func (s *Session) consume() error {
	if err := s.ch.Qos(s.prefetch.messages, 0, false); err != nil {
		return fmt.Errorf("set prefetch: %w", err)
	}
	s.generation++
	s.prefetch.setAt = time.Now()
	deliveries, err := s.ch.Consume(s.cfg.Queue, s.tag(), false, false, false, false, queues.ConsumerArguments(s.cfg))
	if err != nil {
		return queues.ConsumeError(s.cfg.Queue, err)
	}
	s.deliveries = deliveries
	return nil
}

func (s *Session) tag() string { return fmt.Sprintf("%s-%d", s.cfg.Name, s.generation) }

// Receive waits for a message, for at most the given time unless it is negative. ok is false when
// there is none.
func (s *Session) Receive(ctx context.Context, wait time.Duration) (d broker.Delivery, ok bool, err error) {
	// What is there already needs no timer.
	select {
	case raw, open := <-s.source():
		return s.take(raw, open)
	default:
	}
	if wait == 0 {
		return d, false, nil
	}
	var timeout <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case raw, open := <-s.source():
		return s.take(raw, open)
	case <-timeout:
		return d, false, nil
	case <-ctx.Done():
		return d, false, nil
	}
}

// source is where the next message comes from: deliveries of the consumer before go first, so that
// tags ascend.
func (s *Session) source() <-chan amqp.Delivery {
	if s.previous != nil {
		return s.previous
	}
	return s.deliveries
}

func (s *Session) take(raw amqp.Delivery, open bool) (broker.Delivery, bool, error) {
	if !open {
		if s.previous != nil {
			s.previous = nil
			return broker.Delivery{}, false, nil
		}
		return broker.Delivery{}, false, s.lostError()
	}
	s.window.Release(len(raw.Body))
	s.unacked++
	s.metrics.Unacked(s.cfg.Queue, 1)
	return broker.NewDelivery(&raw), true, nil
}

// lostError says why the broker ended the session, if it said so.
func (s *Session) lostError() error {
	if s.Why() != nil {
		return s.ch.LostError()
	}
	return fmt.Errorf("%w: the broker cancelled the consumer: its queue is gone, or it kept messages for longer than consumer-timeout", broker.ErrSessionLost)
}

// Why returns what the broker said when it closed the channel or the connection; nil if it said
// nothing.
func (s *Session) Why() error { return s.ch.Why() }

// Lost reports whether the session is known to be lost.
func (s *Session) Lost() bool { return s.ch.IsClosed() || s.conn.IsClosed() }

// Ack settles the n messages up to and including tag. Call it when each of their events is
// committed or dead-lettered, on the session that delivered them.
func (s *Session) Ack(tag uint64, n int) error {
	if err := s.ch.Ack(tag, true); err != nil {
		return fmt.Errorf("%w: ack: %w", broker.ErrSessionLost, s.ch.Explain(err))
	}
	s.unacked -= n
	s.metrics.Unacked(s.cfg.Queue, -n)
	return nil
}

// ObserveSize takes note of how many events a message had, and adapts the prefetch to that.
func (s *Session) ObserveSize(events int) error {
	s.metrics.Consumed(events)
	s.prefetch.observe(events)
	if s.previous != nil {
		return nil // the last change is not through yet
	}
	if want, far := s.prefetch.want(s.batch, time.Now()); far {
		return s.restart(want)
	}
	return nil
}

// restart consumes again: the prefetch of a consumer is set when it starts.
func (s *Session) restart(messages int) error {
	s.window.Lift(true)
	defer s.window.Lift(false)
	if err := s.ch.Cancel(s.tag(), false); err != nil {
		return fmt.Errorf("%w: cancel: %w", broker.ErrSessionLost, s.ch.Explain(err))
	}
	s.previous = s.deliveries
	s.prefetch.messages = messages
	if err := s.consume(); err != nil {
		return fmt.Errorf("%w: %w", broker.ErrSessionLost, s.ch.Explain(err))
	}
	return nil
}

// Close ends the session. What was not acked goes back to the queue, and so may what was acked just
// before (package admin says why, at Browser): the store then finds duplicates.
func (s *Session) Close() {
	s.window.Lift(true)
	s.metrics.Unacked(s.cfg.Queue, -s.unacked)
	s.unacked = 0
	s.conn.Close()
}
