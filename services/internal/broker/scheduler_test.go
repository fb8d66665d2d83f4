package broker

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func testSingle() *singleRequest {
	e := testEvent(0)
	return &singleRequest{item: newItem(&e), result: make(chan error, 1)}
}

func testBatch(n int) *batchRequest {
	b := &batchRequest{result: make(chan error, 1)}
	for range n {
		e := testEvent(0)
		b.items = append(b.items, newItem(&e))
	}
	return b
}

func TestAWithdrawnEventIsInNoGroup(t *testing.T) {
	l := lanes{most: 10}
	first, second, third := testSingle(), testSingle(), testSingle()
	l.addSingle(first)
	l.addSingle(second)
	l.addSingle(third)
	l.withdrawSingle(second)
	var g group
	l.takeSingles(&g)
	if len(g.singles) != 2 || g.singles[0] != first || g.singles[1] != third {
		t.Errorf("took %d events", len(g.singles))
	}
	if l.singleCount != 0 || l.singleBytes != 0 || len(l.singles) != 0 {
		t.Errorf("left %+v", l)
	}
}

func TestBatchesTakeTurns(t *testing.T) {
	l := lanes{most: 10}
	a, b := testBatch(25), testBatch(15)
	l.addBatch(a)
	l.addBatch(b)
	var order []*batchRequest
	for len(l.batches) > 0 {
		var g group
		l.takeBatch(&g)
		order = append(order, g.batch)
	}
	if want := []*batchRequest{a, b, a, b, a}; len(order) != len(want) || order[0] != a || order[1] != b || order[2] != a || order[3] != b {
		t.Errorf("%d turns", len(order))
	}
}

func TestABatchIsAnsweredOnce(t *testing.T) {
	l := lanes{most: 10}
	b := testBatch(30)
	l.addBatch(b)
	groups := make([]group, 2)
	for i := range groups {
		l.takeBatch(&groups[i])
	}
	refused := errors.New("refused")
	groups[0].answer(refused)
	groups[1].answer(nil)
	if err := <-b.result; !errors.Is(err, refused) {
		t.Errorf("told %v", err)
	}
	// After a failed group the batch publishes no more.
	if l.dropAnswered(); len(l.batches) != 0 {
		t.Error("the failed batch is still in line")
	}
	select {
	case err := <-b.result:
		t.Errorf("told twice: %v", err)
	default:
	}
}

func TestFailTellsWhatWasPublished(t *testing.T) {
	l := lanes{most: 10}
	s, fresh, begun := testSingle(), testBatch(5), testBatch(15)
	l.addBatch(begun)
	var g group
	l.takeBatch(&g)
	l.addSingle(s)
	l.addBatch(fresh)
	l.fail(errors.New("gone"))
	if err := <-s.result; !errors.Is(err, ErrUnavailable) {
		t.Errorf("single: %v", err)
	}
	if err := <-fresh.result; !errors.Is(err, ErrUnavailable) {
		t.Errorf("fresh batch: %v", err)
	}
	if err := <-begun.result; !errors.Is(err, ErrNotConfirmed) {
		t.Errorf("begun batch: %v", err)
	}
}

// Single events and batches alternate, and batches leave most of the
// window free.
func TestFairness(t *testing.T) {
	p := NewPublisher(Config{Queue: "q"}, metrics())
	l := &publisherSession{outstanding: make(map[uint64]*group)}
	p.session = l
	p.lanes.addBatch(testBatch(64 * maxOutstanding))
	for range 64 * 20 {
		p.lanes.addSingle(testSingle())
	}
	var kinds string
	for {
		g, _, _ := p.next(l)
		if g == nil {
			break
		}
		if g.isBatch {
			kinds += "b"
		} else {
			kinds += "s"
		}
	}
	if want := strings.Repeat("sb", maxBatchBeside); kinds[:len(want)] != want {
		t.Errorf("order %s", kinds)
	}
	if l.batchCount != maxBatchBeside {
		t.Errorf("%d messages of batches are outstanding beside single events, want %d", l.batchCount, maxBatchBeside)
	}
	p.lanes.addSingle(testSingle())
	if g, _, wait := p.next(l); g == nil && wait > paceInterval {
		t.Error("a single event finds no room beside batches")
	}
}

// Batches have more of the window when no single event has come for a while.
func TestBatchesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPublisher(Config{Queue: "q"}, metrics())
		l := &publisherSession{outstanding: make(map[uint64]*group)}
		p.session = l
		p.lanes.addSingle(testSingle())
		if g, _, _ := p.next(l); g == nil || g.isBatch {
			t.Fatal("the single event does not leave at once")
		}
		p.lanes.addBatch(testBatch(64 * maxOutstanding))
		for _, want := range []int{maxBatchBeside, maxBatchOutstanding} {
			for {
				if g, _, _ := p.next(l); g == nil {
					break
				}
			}
			if l.batchCount != want {
				t.Errorf("%d messages of batches are outstanding, want %d", l.batchCount, want)
			}
			time.Sleep(besideFor)
		}
	})
}

// Each lane has its own pace: a batch whose groups follow each other faster than a pace
// does not keep a single event until a whole group of them has come.
func TestABusyBatchDoesNotHoldASingleEventUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPublisher(Config{Queue: "q"}, metrics())
		l := &publisherSession{outstanding: make(map[uint64]*group)}
		p.session = l
		p.lanes.addBatch(testBatch(64 * maxOutstanding))
		p.lanes.addSingle(testSingle())
		var waited time.Duration
		start := time.Now()
		for range 64 {
			g, number, wait := p.next(l)
			switch {
			case g == nil:
				time.Sleep(wait)
			case !g.isBatch:
				if waited = max(waited, time.Since(start)); waited > paceInterval {
					t.Fatalf("a single event waited for %s, longer than a pace of %s", waited, paceInterval)
				}
				start = time.Now()
				p.lanes.addSingle(testSingle())
			default:
				time.Sleep(paceInterval / 5) // the broker's confirm, before the next group
				p.confirm(l, number, true, nil)
			}
		}
		if waited == 0 {
			t.Error("no single event waited; this has tried nothing")
		}
	})
}
