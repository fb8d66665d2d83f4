package broker

import (
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// Pacing and fairness of the publisher. A fixed handful of outstanding messages
// would throttle a cluster whose confirms take 10 ms, and no limit would make
// every group small. A lone event leaves at once; more than one message at once only
// when a whole pace has passed, since each costs the broker much more than an event in it.
const (
	maxGroupBytes       = 32 << 10         // a group's body, unless one event is larger
	eagerMessages       = 1                // with fewer outstanding a group need not wait to be full
	paceInterval        = time.Millisecond // nor when the last one left this long ago
	maxOutstanding      = 256              // messages without a confirm
	maxBatchOutstanding = 32               // of them batches'
	maxBatchBeside      = 8                // the same while single events come: the broker takes messages in turn, so each waits for these
	besideFor           = 100 * time.Millisecond
	maxOutstandingBytes = 8 << 20
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
	kind := ErrUnavailable
	if b.published {
		kind = ErrNotConfirmed
	}
	b.answer(fmt.Errorf("%w: %w", kind, reason))
}

// refuse answers the batch that it has an event which the broker takes in no message.
func (b *batchRequest) refuse(reason *TooLargeError) {
	if b.published {
		b.answer(fmt.Errorf("%w: %w", ErrNotConfirmed, reason))
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

// lanes are the events that wait for a group. Single events and slices of
// batches queue apart and alternate; batches take turns.
type lanes struct {
	most        int // events of a group
	mostBytes   int // of a group's body; 0: maxGroupBytes
	singles     []*singleRequest
	singleCount int // of singles, without the withdrawn
	singleBytes int
	batches     []*batchRequest
	batchTurn   bool
}

func (l *lanes) addSingle(s *singleRequest) {
	l.singles = append(l.singles, s)
	l.singleCount++
	l.singleBytes += len(s.line)
}

func (l *lanes) withdrawSingle(s *singleRequest) {
	s.state = withdrawn
	l.singleCount--
	l.singleBytes -= len(s.line)
}

func (l *lanes) addBatch(b *batchRequest) { l.batches = append(l.batches, b) }

// dropAnswered takes batches that failed or were given up out of the line's
// front.
func (l *lanes) dropAnswered() {
	for len(l.batches) > 0 && l.batches[0].over {
		l.batches = l.batches[1:]
	}
}

// fail answers all that waits, of which nothing was published but earlier
// groups of batches.
func (l *lanes) fail(reason error) {
	for _, s := range l.singles {
		if s.state == waiting {
			s.state = withdrawn
			s.result <- fmt.Errorf("%w: %w", ErrUnavailable, reason)
		}
	}
	for _, b := range l.batches {
		b.giveUp(reason)
	}
	*l = lanes{most: l.most, mostBytes: l.mostBytes}
}

// groupBytes is how large a group's body may be, unless one event is larger.
func (l *lanes) groupBytes() int {
	if l.mostBytes > 0 {
		return min(l.mostBytes, maxGroupBytes)
	}
	return maxGroupBytes
}

// refuse answers all that waits and has an event larger than the limit.
func (l *lanes) refuse(limit int) {
	for _, s := range l.singles {
		if err := tooLarge(limit, s.item); err != nil && s.state == waiting {
			l.withdrawSingle(s)
			s.result <- err
		}
	}
	for _, b := range l.batches {
		if err := tooLarge(limit, b.items...); err != nil {
			b.refuse(err)
		}
	}
}

// singlesFull reports whether the next group of single events can't grow.
func (l *lanes) singlesFull() bool {
	return l.singleCount >= l.most || l.singleBytes >= l.groupBytes()
}

// batchFull reports whether the next slice of the batch whose turn it is can't
// grow. The end of a batch is not full: it may leave with the pace.
func (l *lanes) batchFull() bool {
	bytes := 0
	for i, it := range l.batches[0].items {
		if bytes += len(it.line); i+1 >= l.most || bytes >= l.groupBytes() {
			return true
		}
	}
	return false
}

// takeSingles makes a group of the longest waiting single events.
func (l *lanes) takeSingles(g *group) {
	n := 0
	for _, s := range l.singles {
		if s.state == withdrawn {
			n++
			continue
		}
		if !g.fits(s.item, l.most, l.groupBytes()) {
			break
		}
		n++
		s.state = taken
		l.singleCount--
		l.singleBytes -= len(s.line)
		g.add(s.item)
		g.singles = append(g.singles, s)
	}
	clear(l.singles[:n])
	if l.singles = l.singles[n:]; len(l.singles) == 0 {
		l.singles = nil // lets the grown array go
	}
}

// takeBatch makes a group of the next slice of the batch whose turn it is,
// and moves that batch to the end of the line.
func (l *lanes) takeBatch(g *group) {
	b := l.batches[0]
	for len(b.items) > 0 && g.fits(b.items[0], l.most, l.groupBytes()) {
		g.add(b.items[0])
		b.items = b.items[1:]
	}
	g.batch, g.isBatch = b, true
	b.published = true
	b.outstanding++
	l.batches = l.batches[1:]
	if len(b.items) > 0 {
		l.batches = append(l.batches, b)
	}
}

// group is the events of one message, and who waits for its confirm.
type group struct {
	items   []item
	bytes   int
	singles []*singleRequest
	batch   *batchRequest // nil for single events, and once answered
	isBatch bool
	sent    time.Time
	span    trace.Span // nil when it is not traced
}

func (g *group) fits(it item, most, mostBytes int) bool {
	return len(g.items) == 0 || len(g.items) < most && g.bytes+len(it.line) < mostBytes // and a line break
}

func (g *group) add(it item) {
	g.items = append(g.items, it)
	g.bytes += len(it.line) + 1
}

// answer tells all who wait for the group, once; the broker's own answer may
// come after theirs.
func (g *group) answer(err error) {
	for _, s := range g.singles {
		s.result <- err
	}
	g.singles = nil
	if b := g.batch; b != nil {
		g.batch = nil
		b.outstanding--
		if err != nil {
			b.answer(err)
		} else if b.outstanding == 0 && len(b.items) == 0 {
			b.answer(nil)
		}
	}
}
