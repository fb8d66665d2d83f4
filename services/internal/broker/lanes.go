package broker

import "fmt"

// Single events and slices of batches wait in lanes of their own, so that a long batch does not
// hold single events up.

// singleLane is the single events that wait for a group, the oldest first.
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
			s.result <- fmt.Errorf("%w: %w", ErrUnavailable, reason)
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
