package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Bounds of a worker's prefetch, messages. RabbitMQ's documents cap it at
// 2,000 for quorum queues.
const (
	minPrefetch     = 4
	maxPrefetch     = 2000
	initialPrefetch = 64
)

// undeliveredLimit is how many bytes of messages may lie between the socket
// and a worker.
const undeliveredLimit = 16 << 20

// SessionOpener opens a worker's sessions.
type SessionOpener struct {
	cfg     Config
	batch   int // events that a worker takes at once
	metrics *Metrics
	opened  atomic.Bool // a session was, once
	kinds   existing
}

// NewSessionOpener returns an opener of sessions for workers that take batch events at once.
func NewSessionOpener(cfg Config, batch int, metrics *Metrics) *SessionOpener {
	metrics.unacked(cfg.Queue, 0) // a sum without it would be no number until the first message
	return &SessionOpener{cfg: cfg.withDefaults(), batch: batch, metrics: metrics}
}

// Open connects, declares the queues and starts to consume. It tries until it
// can or ctx ends. An ErrTopology is returned at once unless a session was
// open before: then it is a setting to correct, not a fault to wait out.
// changed is called with every new reason for which it can't.
func (o *SessionOpener) Open(ctx context.Context, changed func(error)) (*Session, error) {
	var wait backoff
	var last string
	for {
		s, err := o.open(ctx)
		if err == nil {
			o.opened.Store(true)
			o.metrics.sessions.Inc()
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, ErrTopology) && !o.opened.Load() {
			return nil, err
		}
		if err.Error() != last {
			last = err.Error()
			changed(err)
		}
		if err := sleep(ctx, wait.next()); err != nil {
			return nil, err
		}
	}
}

func (o *SessionOpener) open(ctx context.Context) (*Session, error) {
	s := &Session{cfg: o.cfg, batch: o.batch, metrics: o.metrics, prefetch: initialPrefetch}
	conn, err := dial(ctx, o.cfg, func(conn net.Conn) net.Conn {
		s.window = newReadWindow(newLargeFrameConn(conn), o.cfg.undeliveredSize)
		return s.window
	})
	if err != nil {
		return nil, err
	}
	s.conn = conn
	if err := s.start(ctx, &o.kinds); err != nil {
		conn.kill()
		return nil, err
	}
	return s, nil
}

// Session is one worker's connection, channel and consumer. One goroutine uses
// it, except for Lost and Why, which any may call. Every error means that it is lost: what it delivered and was not
// acked comes again on another one.
type Session struct {
	cfg     Config
	batch   int
	metrics *Metrics

	conn   *connection
	window *readWindow
	ch     *amqp.Channel
	notice *closeNotice // a consumer timeout, a queue that is gone

	prefetch   int
	generation int                  // number of the consumer
	deliveries <-chan amqp.Delivery // of the consumer
	previous   <-chan amqp.Delivery // of the one before, until it is empty

	unacked          int
	seen             int       // messages
	eventsPerMessage float64   // moving mean
	prefetchSetAt    time.Time // when the prefetch was last set
}

func (s *Session) start(ctx context.Context, kinds *existing) (err error) {
	if s.ch, err = s.conn.Channel(); err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	s.notice = newCloseNotice(s.conn, s.ch)
	if err := declare(s.ch, s.cfg); err != nil {
		return err
	}
	// Before it consumes: the end of a consumer may be that of its queue.
	if err := kinds.check(ctx, s.cfg); err != nil {
		return err
	}
	return s.consume()
}

// consume begins to take messages, at most s.prefetch unacked.
func (s *Session) consume() error {
	if err := s.ch.Qos(s.prefetch, 0, false); err != nil {
		return fmt.Errorf("set prefetch: %w", err)
	}
	s.generation++
	s.prefetchSetAt = time.Now()
	deliveries, err := s.ch.Consume(s.cfg.Queue, s.tag(), false, false, false, false, consumerArguments(s.cfg))
	if err != nil {
		return consumeError(s.cfg.Queue, err)
	}
	s.deliveries = deliveries
	return nil
}

func (s *Session) tag() string { return fmt.Sprintf("%s-%d", s.cfg.Name, s.generation) }

// Receive waits for a message, for at most the given time unless it is
// negative. ok is false when there is none.
func (s *Session) Receive(ctx context.Context, wait time.Duration) (d Delivery, ok bool, err error) {
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

// source is where the next message comes from: deliveries of the consumer
// before go first, so that tags ascend.
func (s *Session) source() <-chan amqp.Delivery {
	if s.previous != nil {
		return s.previous
	}
	return s.deliveries
}

func (s *Session) take(raw amqp.Delivery, open bool) (Delivery, bool, error) {
	if !open {
		if s.previous != nil {
			s.previous = nil
			return Delivery{}, false, nil
		}
		return Delivery{}, false, s.lostError()
	}
	s.window.release(len(raw.Body))
	s.unacked++
	s.metrics.unacked(s.cfg.Queue, 1)
	return newDelivery(&raw), true, nil
}

// lostError says why the broker ended the session, if it said so.
func (s *Session) lostError() error {
	if s.Why() != nil {
		return s.notice.lost()
	}
	return fmt.Errorf("%w: the broker cancelled the consumer: its queue is gone, or it kept messages for longer than consumer-timeout", ErrSessionLost)
}

// Why is what the broker said when it closed the channel or the connection; nil if it said nothing.
func (s *Session) Why() error { return s.notice.why() }

// Lost reports whether the session is known to be lost.
func (s *Session) Lost() bool { return s.ch.IsClosed() || s.conn.IsClosed() }

// Ack settles every message up to and including tag, of which there are n.
// Call it when each of their events is committed or dead-lettered, on the
// session that delivered them.
func (s *Session) Ack(tag uint64, n int) error {
	if err := s.ch.Ack(tag, true); err != nil {
		return fmt.Errorf("%w: ack: %w", ErrSessionLost, s.notice.explain(err))
	}
	s.unacked -= n
	s.metrics.unacked(s.cfg.Queue, -n)
	return nil
}

// ObserveSize takes note of a message's events, and adapts the prefetch to them when
// it is far off: a worker should have its next batch at hand, and not much
// more.
func (s *Session) ObserveSize(events int) error {
	s.metrics.messageEvents.WithLabelValues("consumed").Observe(float64(events))
	s.seen++
	s.eventsPerMessage += (float64(max(events, 1)) - s.eventsPerMessage) / float64(min(s.seen, 64))
	if s.seen < 16 || s.previous != nil || time.Since(s.prefetchSetAt) < time.Second {
		return nil
	}
	want := min(max(int(2*float64(s.batch)/s.eventsPerMessage), minPrefetch), maxPrefetch)
	if want < 2*s.prefetch && 3*want > s.prefetch {
		return nil
	}
	return s.restart(want)
}

// restart consumes anew: a consumer's prefetch is settled when it starts.
func (s *Session) restart(prefetch int) error {
	s.window.lift(true)
	defer s.window.lift(false)
	if err := s.ch.Cancel(s.tag(), false); err != nil {
		return fmt.Errorf("%w: cancel: %w", ErrSessionLost, s.notice.explain(err))
	}
	s.previous = s.deliveries
	s.prefetch = prefetch
	if err := s.consume(); err != nil {
		return fmt.Errorf("%w: %w", ErrSessionLost, s.notice.explain(err))
	}
	return nil
}

// Close ends the session. What was not acked goes back to the queue, and so may
// what was acked just before (see [Browser]): the store then finds duplicates.
func (s *Session) Close() {
	s.window.lift(true)
	s.metrics.unacked(s.cfg.Queue, -s.unacked)
	s.unacked = 0
	s.conn.close()
}
