package publish

import (
	"fmt"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// singleRequest is an event that one request waits for.
type singleRequest struct {
	item
	result chan error // capacity 1
	state  singleState
}

type singleState uint8

const (
	waiting   singleState = iota
	taken                 // by a group: will be published
	withdrawn             // by its request, before a group took it
)

// batchRequest is the events of one batch request.
type batchRequest struct {
	items       []item     // not yet taken
	published   bool       // a group of it has left
	outstanding int        // groups without a confirm
	over        bool       // answered: nothing more is published
	result      chan error // capacity 1
}

// giveUp answers the batch with what is known of it.
func (b *batchRequest) giveUp(reason error) {
	kind := broker.ErrUnavailable
	if b.published {
		kind = broker.ErrNotConfirmed
	}
	b.answer(fmt.Errorf("%w: %w", kind, reason))
}

// refuse answers the batch that it has an event which the broker takes in no message.
func (b *batchRequest) refuse(reason *broker.TooLargeError) {
	if b.published {
		b.answer(fmt.Errorf("%w: %w", broker.ErrNotConfirmed, reason))
		return
	}
	b.answer(reason)
}

// answer tells the batch's request, once.
func (b *batchRequest) answer(err error) {
	if !b.over {
		b.over = true
		b.items = nil
		b.result <- err
	}
}

// singleLane is the single events that wait for a group, the oldest first. They have a lane of
// their own, so that a long batch does not hold them up.
type singleLane struct {
	requests []*singleRequest
	count    int // of requests, without the withdrawn
	bytes    int // of their events
}

func (l *singleLane) add(s *singleRequest) {
	l.requests = append(l.requests, s)
	l.count++
	l.bytes += len(s.line)
}

// withdraw takes a waiting event out. Its place in the lane goes with the next group.
func (l *singleLane) withdraw(s *singleRequest) {
	s.state = withdrawn
	l.count--
	l.bytes -= len(s.line)
}

// full reports whether the next group can't grow.
func (l *singleLane) full(b bounds) bool { return l.count >= b.events || l.bytes >= b.bytes }

// take makes a group of the events that have waited longest.
func (l *singleLane) take(g *group, b bounds) {
	n := 0
	for _, s := range l.requests {
		if s.state == withdrawn {
			n++
			continue
		}
		if !g.fits(s.item, b) {
			break
		}
		n++
		s.state = taken
		l.count--
		l.bytes -= len(s.line)
		g.add(s.item)
		g.singles = append(g.singles, s)
	}
	clear(l.requests[:n])
	if l.requests = l.requests[n:]; len(l.requests) == 0 {
		l.requests = nil // lets the grown array go
	}
}

// refuse answers the waiting events that are larger than the limit.
func (l *singleLane) refuse(limit int) {
	for _, s := range l.requests {
		if err := tooLarge(limit, s.item); err != nil && s.state == waiting {
			l.withdraw(s)
			s.result <- err
		}
	}
}

// fail answers all that wait: nothing of them was published.
func (l *singleLane) fail(reason error) {
	for _, s := range l.requests {
		if s.state == waiting {
			s.state = withdrawn
			s.result <- fmt.Errorf("%w: %w", broker.ErrUnavailable, reason)
		}
	}
	*l = singleLane{}
}

// batchLane is the batches that have events to publish. They take turns: the first one has it.
type batchLane struct {
	requests []*batchRequest
}

func (l *batchLane) add(b *batchRequest) { l.requests = append(l.requests, b) }

// dropAnswered takes batches that failed or were given up off the lane's front.
func (l *batchLane) dropAnswered() {
	for len(l.requests) > 0 && l.requests[0].over {
		l.requests = l.requests[1:]
	}
}

// full reports whether the next slice of the batch whose turn it is can't grow. The end of a batch
// is not full: it may leave with the pace.
func (l *batchLane) full(b bounds) bool {
	bytes := 0
	for i, it := range l.requests[0].items {
		if bytes += len(it.line); i+1 >= b.events || bytes >= b.bytes {
			return true
		}
	}
	return false
}

// take makes a group of the next slice of the batch whose turn it is, and moves that batch to the
// end of the lane.
func (l *batchLane) take(g *group, limits bounds) {
	b := l.requests[0]
	for len(b.items) > 0 && g.fits(b.items[0], limits) {
		g.add(b.items[0])
		b.items = b.items[1:]
	}
	g.batch, g.isBatch = b, true
	b.published = true
	b.outstanding++
	l.requests = l.requests[1:]
	if len(b.items) > 0 {
		l.requests = append(l.requests, b)
	}
}

// refuse answers the batches that have an event larger than the limit.
func (l *batchLane) refuse(limit int) {
	for _, b := range l.requests {
		if err := tooLarge(limit, b.items...); err != nil {
			b.refuse(err)
		}
	}
}

// fail answers all batches with what is known of them.
func (l *batchLane) fail(reason error) {
	for _, b := range l.requests {
		b.giveUp(reason)
	}
	*l = batchLane{}
}
