package broker

import (
	"context"
	"fmt"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// link is the publisher's session: one connection, one channel in confirm
// mode, and the groups that are published on it.
type link struct {
	conn     *connection
	ch       *amqp.Channel
	confirms chan amqp.Confirmation
	returns  chan amqp.Return
	blocks   chan amqp.Blocking
	closing  *closing
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

// openLink connects, declares the queues and turns confirms on.
func openLink(ctx context.Context, cfg Config) (*link, error) {
	conn, err := dial(ctx, cfg, nil)
	if err != nil {
		return nil, err
	}
	l := &link{
		conn:        conn,
		blocks:      conn.NotifyBlocked(make(chan amqp.Blocking, 16)),
		outstanding: make(map[uint64]*group, maxOutstanding),
	}
	if err := l.open(cfg); err != nil {
		conn.kill()
		return nil, err
	}
	return l, nil
}

// open opens a channel, after the first one another.
func (l *link) open(cfg Config) (err error) {
	if l.ch, err = l.conn.Channel(); err != nil {
		return fmt.Errorf("open channel: %w", err)
	}
	l.closing = hearClosing(l.conn, l.ch)
	if err := declare(l.ch, cfg); err != nil {
		return err
	}
	if err := l.ch.Confirm(false); err != nil {
		return fmt.Errorf("turn publisher confirms on: %w", l.closing.explain(err))
	}
	// A full listener loses notifications after 5 s (amqp091-go, since
	// 1.13), so each has room for all that can be outstanding.
	l.confirms = make(chan amqp.Confirmation, maxOutstanding+1)
	l.returns = make(chan amqp.Return, maxOutstanding+1)
	l.ch.NotifyPublish(l.confirms)
	l.ch.NotifyReturn(l.returns)
	return nil
}

// add notes a group that is about to be published, under the number it gets.
func (l *link) add(g *group, now time.Time) uint64 {
	l.published++
	g.sent = now
	l.outstanding[l.published] = g
	l.bytes += g.bytes
	if !g.isBatch {
		l.lastSingles = now
		return l.published
	}
	l.lastBatch = now
	l.batchCount++
	l.batchBytes += g.bytes
	return l.published
}

// remove forgets an outstanding group, and returns it.
func (l *link) remove(number uint64) *group {
	g := l.outstanding[number]
	if g == nil {
		return nil
	}
	delete(l.outstanding, number)
	l.bytes -= g.bytes
	if g.isBatch {
		l.batchCount--
		l.batchBytes -= g.bytes
	}
	return g
}

// noteRefusal notes whether the broker refused a message or took it.
func (l *link) noteRefusal(refused bool) {
	switch {
	case !refused:
		l.refusedSince, l.refusing = time.Time{}, false
	case l.refusedSince.IsZero():
		l.refusedSince = time.Now()
	}
}

// room reports whether another message may be outstanding.
func (l *link) room() bool {
	return l.blocked == "" && len(l.outstanding) < maxOutstanding && l.bytes < maxOutstandingBytes
}

// batchRoom reports whether another message of a batch may be outstanding:
// batches stay within a part of the window, so that single events always find
// room and soon have their turn at the broker. (A quorum queue's channel also reads
// nothing more of a connection with 32 messages that the queue has not answered,
// quorum_commands_soft_limit.)
func (l *link) batchRoom(now time.Time) bool {
	most := maxBatchOutstanding
	if now.Sub(l.lastSingles) < besideFor {
		most = maxBatchBeside
	}
	return l.batchCount < most && l.batchBytes < maxOutstandingBytes/2
}

// overdue reports whether a group waits for its confirm since before the given
// time. A blocked broker confirms nothing, and that is no fault of the link's.
func (l *link) overdue(since time.Time) bool {
	if l.blocked != "" || l.unblocked.After(since) {
		return false
	}
	for _, g := range l.outstanding {
		if g.sent.Before(since) {
			return true
		}
	}
	return false
}

// drainReturns takes the returns that have come, by publish number.
func (l *link) drainReturns() map[uint64]string {
	var returned map[uint64]string
	for {
		select {
		case r, open := <-l.returns:
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
