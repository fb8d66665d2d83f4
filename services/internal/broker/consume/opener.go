package consume

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/connection"
	"github.com/trailpost/trailpost/services/internal/broker/internal/netconn"
	"github.com/trailpost/trailpost/services/internal/broker/internal/queues"
	"github.com/trailpost/trailpost/services/internal/retry"
)

// windowSize is how many bytes of messages may lie between the socket and a worker.
const windowSize = 16 << 20

// SessionOpener opens the sessions of workers.
type SessionOpener struct {
	cfg      broker.Config
	batch    int // events that a worker takes at once
	metrics  *broker.Metrics
	examiner queues.Examiner
	opened   atomic.Bool // a session was, once

	windowSize int // tests have less
}

// NewSessionOpener returns an opener of sessions for workers that take batch events at once.
func NewSessionOpener(cfg broker.Config, batch int, metrics *broker.Metrics) *SessionOpener {
	metrics.Unacked(cfg.Queue, 0) // a sum without it would be no number until the first message
	return &SessionOpener{cfg: cfg.WithDefaults(), batch: batch, metrics: metrics, windowSize: windowSize}
}

// Open connects, declares the queues and starts to consume. It tries until it can or ctx ends. An
// ErrTopology is returned at once unless a session was open before: then it is a setting to
// correct, not a fault to wait out. changed is called with every new reason for which it can't.
func (o *SessionOpener) Open(ctx context.Context, changed func(error)) (*Session, error) {
	wait := connection.Backoff()
	var reason retry.Reason
	for {
		s, err := o.open(ctx)
		if err == nil {
			o.opened.Store(true)
			o.metrics.SessionOpened()
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, broker.ErrTopology) && !o.opened.Load() {
			return nil, err
		}
		if reason.Changed(err) {
			changed(err)
		}
		if err := retry.Sleep(ctx, wait.Next()); err != nil {
			return nil, err
		}
	}
}

func (o *SessionOpener) open(ctx context.Context) (*Session, error) {
	s := &Session{cfg: o.cfg, batch: o.batch, metrics: o.metrics, prefetch: prefetch{messages: initialPrefetch}}
	conn, err := connection.DialReader(ctx, o.cfg, func(conn net.Conn) net.Conn {
		s.window = netconn.NewReadWindow(conn, o.windowSize)
		return s.window
	})
	if err != nil {
		return nil, err
	}
	s.conn = conn
	if err := s.start(ctx, &o.examiner); err != nil {
		conn.Kill()
		return nil, err
	}
	return s, nil
}
