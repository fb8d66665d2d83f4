package publish

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/connection"
	"github.com/trailpost/trailpost/services/internal/broker/internal/queues"
)

// session is one connection, and one channel of it in confirm mode. It writes what its
// publisher's scheduler says, and tells the publisher what the broker answers.
type session struct {
	publisher *Publisher
	conn      *connection.Connection
	blocks    chan amqp.Blocking
	ch        *connection.Confirming // may be replaced while the connection stays

	buf []byte // scratch for the body of a group
}

// openSession connects, declares the queues and turns confirms on.
func openSession(ctx context.Context, p *Publisher) (*session, error) {
	conn, err := connection.Dial(ctx, p.cfg)
	if err != nil {
		return nil, err
	}
	s := &session{
		publisher: p,
		conn:      conn,
		blocks:    conn.NotifyBlocked(make(chan amqp.Blocking, 16)),
	}
	if err := s.openChannel(); err != nil {
		conn.Kill()
		return nil, err
	}
	return s, nil
}

// openChannel opens a channel, after the first one another.
func (s *session) openChannel() error {
	ch, err := s.conn.OpenChannel()
	if err != nil {
		return err
	}
	if err := queues.Declare(ch.Channel, s.publisher.cfg); err != nil {
		return err
	}
	confirming, err := ch.Confirming(maxOutstanding + 1)
	if err != nil {
		return err
	}
	s.ch = confirming
	return nil
}

// serve publishes until the session is lost or ctx ends.
func (s *session) serve(ctx context.Context) error {
	received := make(chan error, 1)
	receive := func() { received <- s.receive() }
	go receive()

	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		d := s.publisher.next()
		if d.send != nil {
			if err := s.write(d.send); err != nil {
				if !errors.Is(err, amqp.ErrClosed) {
					s.conn.Kill()
				}
				if err := s.resume(<-received); err != nil {
					s.conn.Kill()
					return fmt.Errorf("publish: %w", err)
				}
				go receive()
			}
			continue
		}
		timer.Reset(d.wait)
		select {
		case <-s.publisher.wake:
		case <-timer.C:
		case err := <-received:
			if err := s.resume(err); err != nil {
				s.conn.Kill()
				return err
			}
			go receive()
		case <-ctx.Done():
			s.conn.Close()
			<-received //nolint:errcheck // the error is the one from our own close
			return ctx.Err()
		}
	}
}

// write publishes a group.
func (s *session) write(g *group) error {
	var message broker.Message
	message, s.buf = newMessage(g.items, s.buf)
	return s.ch.Publish(s.publisher.cfg.Queue, strconv.FormatUint(g.number, 10), message, g.sent)
}

// receive handles what the broker says, until it says nothing more.
func (s *session) receive() error {
	timeout := s.publisher.cfg.ConfirmTimeout
	watchdog := time.NewTicker(timeout / 4)
	defer watchdog.Stop()
	blocks := s.blocks
	for {
		select {
		case confirm, open := <-s.ch.Confirms:
			if !open {
				return s.ch.LostError()
			}
			// A returned message is confirmed too, after its return: the client reads both in
			// order, so what was returned is known by now.
			returned := s.drainReturns()
			s.publisher.confirm(confirm.DeliveryTag, confirm.Ack, returned)
			if len(returned) > 0 {
				// The queue is gone. A new session declares it again.
				return errors.New("the queue is gone: a message was returned as unroutable")
			}
			if s.publisher.refusesChannel() {
				return errRefusing
			}
		case blocking, open := <-blocks:
			if !open {
				blocks = nil
				continue
			}
			s.publisher.setBlocked(blocking.Active, blocking.Reason)
		case <-watchdog.C:
			if s.publisher.overdue() {
				s.conn.Kill()
				return fmt.Errorf("no confirm within %s", timeout)
			}
		}
	}
}

// drainReturns takes the returns that have come, by publish number.
func (s *session) drainReturns() map[uint64]string {
	var returned map[uint64]string
	for {
		select {
		case r, open := <-s.ch.Returns:
			if !open {
				return returned
			}
			number, err := strconv.ParseUint(r.CorrelationId, 10, 64)
			if err != nil {
				continue // none of ours
			}
			if returned == nil {
				returned = make(map[uint64]string)
			}
			returned[number] = r.ReplyText
		default:
			return returned
		}
	}
}
