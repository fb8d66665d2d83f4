package broker

import (
	"context"
	"fmt"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// publisherSession is the publisher's session: one connection, one channel in confirm
// mode, and the groups that are published on it.
type publisherSession struct {
	conn     *connection
	ch       *amqp.Channel
	confirms chan amqp.Confirmation
	returns  chan amqp.Return
	blocks   chan amqp.Blocking
	notice   *closeNotice
	limit    int // the broker's max_message_size, bytes; 0: nobody has been over it on this connection

	// Guarded by Publisher.mu.
	outstanding map[uint64]*group // by publish number, which is the delivery tag of its confirm
	bytes       int               // of outstanding groups' bodies
	batchCount  int               // outstanding groups that are batches'
	batchBytes  int
	published   uint64
	again       []uint64  // outstanding, to be written once more
	lastSingles time.Time // when a group of single events was last sent
	lastBatch   time.Time // and one of a batch: each lane has its own pace, or a busy one would hold the other up
	// since when the broker has confirmed nothing and refused what came; zero: it took the last
	refusedSince time.Time
	refusing     bool      // it has refused everything on an earlier channel, too, and confirmed nothing since
	blocked      string    // the broker's reason for taking nothing, "" if it does
	unblocked    time.Time // when it last began to take something again
}

// openPublisherSession connects, declares the queues and turns confirms on.
func openPublisherSession(ctx context.Context, cfg Config) (*publisherSession, error) {
	conn, err := dial(ctx, cfg, nil)
	if err != nil {
		return nil, err
	}
	s := &publisherSession{
		conn:        conn,
		blocks:      conn.NotifyBlocked(make(chan amqp.Blocking, 16)),
		outstanding: make(map[uint64]*group, maxOutstanding),
	}
	if err := s.open(cfg); err != nil {
		conn.kill()
		return nil, err
	}
	return s, nil
}

// open opens a channel, after the first one another.
func (s *publisherSession) open(cfg Config) (err error) {
	if s.ch, err = s.conn.Channel(); err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	s.notice = newCloseNotice(s.conn, s.ch)
	if err := declare(s.ch, cfg); err != nil {
		return err
	}
	if err := s.ch.Confirm(false); err != nil {
		return fmt.Errorf("turn publisher confirms on: %w", s.notice.explain(err))
	}
	// A full listener loses notifications after 5 s (amqp091-go, since
	// 1.13), so each has room for all that can be outstanding.
	s.confirms = make(chan amqp.Confirmation, maxOutstanding+1)
	s.returns = make(chan amqp.Return, maxOutstanding+1)
	s.ch.NotifyPublish(s.confirms)
	s.ch.NotifyReturn(s.returns)
	return nil
}

// add notes a group that is about to be published, under the number it gets.
func (s *publisherSession) add(g *group, now time.Time) uint64 {
	s.published++
	g.sent = now
	s.outstanding[s.published] = g
	s.bytes += g.bytes
	if !g.isBatch {
		s.lastSingles = now
		return s.published
	}
	s.lastBatch = now
	s.batchCount++
	s.batchBytes += g.bytes
	return s.published
}

// remove forgets an outstanding group, and returns it.
func (s *publisherSession) remove(number uint64) *group {
	g := s.outstanding[number]
	if g == nil {
		return nil
	}
	delete(s.outstanding, number)
	s.bytes -= g.bytes
	if g.isBatch {
		s.batchCount--
		s.batchBytes -= g.bytes
	}
	return g
}

// noteRefusal notes whether the broker refused a message or took it.
func (s *publisherSession) noteRefusal(refused bool) {
	switch {
	case !refused:
		s.refusedSince, s.refusing = time.Time{}, false
	case s.refusedSince.IsZero():
		s.refusedSince = time.Now()
	}
}

// room reports whether another message may be outstanding.
func (s *publisherSession) room() bool {
	return s.blocked == "" && len(s.outstanding) < maxOutstanding && s.bytes < maxOutstandingBytes
}

// batchRoom reports whether another message of a batch may be outstanding:
// batches stay within a part of the window, so that single events always find
// room and soon have their turn at the broker. (A quorum queue's channel also reads
// nothing more of a connection with 32 messages that the queue has not answered,
// quorum_commands_soft_limit.)
func (s *publisherSession) batchRoom(now time.Time) bool {
	most := maxBatchOutstanding
	if now.Sub(s.lastSingles) < besideFor {
		most = maxBatchBeside
	}
	return s.batchCount < most && s.batchBytes < maxOutstandingBytes/2
}

// overdue reports whether a group waits for its confirm since before the given
// time. A blocked broker confirms nothing, and that is no fault of the session.
func (s *publisherSession) overdue(since time.Time) bool {
	if s.blocked != "" || s.unblocked.After(since) {
		return false
	}
	for _, g := range s.outstanding {
		if g.sent.Before(since) {
			return true
		}
	}
	return false
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
