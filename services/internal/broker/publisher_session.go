package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// publisherSession is one connection, and one channel of it in confirm mode. It writes what its
// publisher's scheduler says, and tells the publisher what the broker answers.
type publisherSession struct {
	publisher *Publisher
	conn      *connection
	blocks    chan amqp.Blocking

	// Of the channel, which may be replaced while the connection stays.
	ch       *amqp.Channel
	confirms chan amqp.Confirmation
	returns  chan amqp.Return
	notice   *closeNotice

	buf []byte // scratch for the body of a group
}

// openPublisherSession connects, declares the queues and turns confirms on.
func openPublisherSession(ctx context.Context, p *Publisher) (*publisherSession, error) {
	conn, err := dial(ctx, p.cfg, nil)
	if err != nil {
		return nil, err
	}
	s := &publisherSession{
		publisher: p,
		conn:      conn,
		blocks:    conn.NotifyBlocked(make(chan amqp.Blocking, 16)),
	}
	if err := s.openChannel(); err != nil {
		conn.kill()
		return nil, err
	}
	return s, nil
}

// openChannel opens a channel, after the first one another.
func (s *publisherSession) openChannel() (err error) {
	if s.ch, err = s.conn.Channel(); err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	s.notice = newCloseNotice(s.conn, s.ch)
	if err := declare(s.ch, s.publisher.cfg); err != nil {
		return err
	}
	if err := s.ch.Confirm(false); err != nil {
		return fmt.Errorf("turn publisher confirms on: %w", s.notice.explain(err))
	}
	// A full listener loses notifications after 5 s (amqp091-go, since 1.13), so each has room for
	// all that can be outstanding.
	s.confirms = make(chan amqp.Confirmation, maxOutstanding+1)
	s.returns = make(chan amqp.Return, maxOutstanding+1)
	s.ch.NotifyPublish(s.confirms)
	s.ch.NotifyReturn(s.returns)
	return nil
}

// serve publishes until the session is lost or ctx ends.
func (s *publisherSession) serve(ctx context.Context) error {
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
					s.conn.kill()
				}
				if err := s.resume(<-received); err != nil {
					s.conn.kill()
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
				s.conn.kill()
				return err
			}
			go receive()
		case <-ctx.Done():
			s.conn.close()
			<-received //nolint:errcheck // the error is the one from our own close
			return ctx.Err()
		}
	}
}

// write publishes a group.
func (s *publisherSession) write(g *group) error {
	message, grown := publishing(g.items, s.buf, g.sent)
	s.buf = grown
	message.CorrelationId = strconv.FormatUint(g.number, 10)
	return s.ch.Publish("", s.publisher.cfg.Queue, true, false, message)
}

// receive handles what the broker says, until it says nothing more.
func (s *publisherSession) receive() error {
	timeout := s.publisher.cfg.ConfirmTimeout
	watchdog := time.NewTicker(timeout / 4)
	defer watchdog.Stop()
	blocks := s.blocks
	for {
		select {
		case confirm, open := <-s.confirms:
			if !open {
				return s.notice.lost()
			}
			// A returned message is confirmed too, after its return: the
			// client reads both in order, so what was returned is known by now.
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
				s.conn.kill()
				return fmt.Errorf("no confirm within %s", timeout)
			}
		}
	}
}

// drainReturns takes the returns that have come, by publish number.
func (s *publisherSession) drainReturns() map[uint64]string {
	var returned map[uint64]string
	for {
		select {
		case r, open := <-s.returns:
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
