package publish

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/brokertest"
)

func testSingle() *singleRequest { return testSingleOf(0) }

// testSingleOf returns a request with an event of at least so many bytes.
func testSingleOf(bytes int) *singleRequest {
	e := brokertest.Event(0)
	e.Username = strings.Repeat("x", bytes)
	return &singleRequest{item: newItem(&e), result: make(chan error, 1)}
}

func testBatch(n int) *batchRequest {
	b := &batchRequest{result: make(chan error, 1)}
	for range n {
		e := brokertest.Event(0)
		b.items = append(b.items, newItem(&e))
	}
	return b
}

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// sendAll returns the groups that may leave now.
func sendAll(s *scheduler, now time.Time) (groups []*group) {
	for {
		d := s.next(now)
		if d.send == nil {
			return groups
		}
		groups = append(groups, d.send)
	}
}

// kinds returns an s for each group of single events, and a b for each of a batch.
func kinds(groups []*group) string {
	var text strings.Builder
	for _, g := range groups {
		if g.isBatch {
			text.WriteByte('b')
		} else {
			text.WriteByte('s')
		}
	}
	return text.String()
}

// What next decides, by what waits and what is outstanding: groups of at most 10 events.
func TestNext(t *testing.T) {
	// sent returns when a group left, of which a single event or a batch may be.
	sent := func(s *scheduler, add func(), at time.Time) *group {
		add()
		g := s.next(at).send
		if g == nil {
			t.Fatal("the preparing group does not leave")
		}
		return g
	}
	singles := func(s *scheduler, n int) {
		for range n {
			s.singles.add(testSingle())
		}
	}
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	for name, c := range map[string]struct {
		prepare func(*scheduler)
		kind    string        // "": nothing leaves
		events  int           // of the group
		again   bool          // it was written before
		wait    time.Duration // if nothing leaves
	}{
		"nothing waits": {prepare: func(*scheduler) {}, wait: idle},
		"a lone event leaves at once": {
			prepare: func(s *scheduler) { singles(s, 1) }, kind: "s", events: 1,
		},
		"a lone batch leaves at once, by slices": {
			prepare: func(s *scheduler) { s.batches.add(testBatch(12)) }, kind: "b", events: 10,
		},
		"a second message waits for its pace": {
			prepare: func(s *scheduler) {
				sent(s, func() { singles(s, 1) }, ago(paceInterval/4))
				singles(s, 9)
			},
			wait: paceInterval - paceInterval/4,
		},
		"it leaves when the pace has passed": {
			prepare: func(s *scheduler) {
				sent(s, func() { singles(s, 1) }, ago(paceInterval))
				singles(s, 9)
			},
			kind: "s", events: 9,
		},
		"it leaves at once when it is full": {
			prepare: func(s *scheduler) {
				sent(s, func() { singles(s, 1) }, noon)
				singles(s, 11)
			},
			kind: "s", events: 10,
		},
		"it is full by bytes, too": {
			prepare: func(s *scheduler) {
				sent(s, func() { singles(s, 1) }, noon)
				s.singles.add(testSingleOf(maxGroupBytes / 2))
				s.singles.add(testSingleOf(maxGroupBytes / 2))
			},
			kind: "s", events: 1,
		},
		"it leaves at once when the first is confirmed": {
			prepare: func(s *scheduler) {
				g := sent(s, func() { singles(s, 1) }, noon)
				singles(s, 2)
				s.window.remove(g.number)
			},
			kind: "s", events: 2,
		},
		"the end of a batch waits for its pace": {
			prepare: func(s *scheduler) {
				sent(s, func() { s.batches.add(testBatch(19)) }, ago(paceInterval/2))
			},
			wait: paceInterval / 2,
		},
		"a full slice of a batch does not": {
			prepare: func(s *scheduler) {
				sent(s, func() { s.batches.add(testBatch(20)) }, noon)
			},
			kind: "b", events: 10,
		},
		"each lane has its own pace": {
			prepare: func(s *scheduler) {
				sent(s, func() { s.batches.add(testBatch(1)) }, noon)
				singles(s, 1)
			},
			kind: "s", events: 1,
		},
		"of two paces the shorter counts": {
			prepare: func(s *scheduler) {
				sent(s, func() { singles(s, 1) }, ago(paceInterval/4))
				sent(s, func() { s.batches.add(testBatch(1)) }, ago(paceInterval/8))
				singles(s, 1)
				s.batches.add(testBatch(1))
			},
			wait: paceInterval - paceInterval/4,
		},
		"after single events it is a batch's turn": {
			prepare: func(s *scheduler) {
				sent(s, func() { singles(s, 10) }, ago(time.Second))
				singles(s, 10)
				s.batches.add(testBatch(10))
			},
			kind: "b", events: 10,
		},
		"after a batch it is single events' turn": {
			prepare: func(s *scheduler) {
				sent(s, func() { s.batches.add(testBatch(20)) }, ago(time.Second))
				singles(s, 10)
			},
			kind: "s", events: 10,
		},
		"a batch that was answered leaves no more": {
			prepare: func(s *scheduler) {
				sent(s, func() { s.batches.add(testBatch(20)) }, ago(time.Second)).answer(errors.New("refused"))
			},
			wait: idle,
		},
		"a full window": {
			prepare: func(s *scheduler) {
				for range maxOutstanding {
					sent(s, func() { singles(s, 10) }, ago(time.Second))
				}
				singles(s, 10)
			},
			wait: idle,
		},
		"a window with room again": {
			prepare: func(s *scheduler) {
				for range maxOutstanding {
					sent(s, func() { singles(s, 10) }, ago(time.Second))
				}
				singles(s, 10)
				s.window.remove(7)
			},
			kind: "s", events: 10,
		},
		"a window that is full of bytes": {
			prepare: func(s *scheduler) {
				sent(s, func() { s.singles.add(testSingleOf(maxOutstandingBytes)) }, ago(time.Second))
				singles(s, 10)
			},
			wait: idle,
		},
		"a part of the window that is full of bytes of batches": {
			prepare: func(s *scheduler) {
				b := &batchRequest{items: []item{testSingleOf(maxOutstandingBytes / 2).item}, result: make(chan error, 1)}
				sent(s, func() { s.batches.add(b) }, ago(time.Second))
				s.batches.add(testBatch(10))
			},
			wait: idle,
		},
		"a broker that takes nothing": {
			prepare: func(s *scheduler) {
				s.block("alarm", broker.ErrBlocked)
				singles(s, 1)
			},
			wait: idle,
		},
		"a broker that takes messages again": {
			prepare: func(s *scheduler) {
				s.block("alarm", broker.ErrBlocked)
				s.unblock(noon)
				singles(s, 1)
			},
			kind: "s", events: 1,
		},
		"what a lost channel had goes first": {
			prepare: func(s *scheduler) {
				sent(s, func() { s.batches.add(testBatch(3)) }, noon)
				singles(s, 10)
				for _, g := range s.channelLost() {
					s.addAgain(g, noon)
				}
			},
			kind: "b", events: 3, again: true,
		},
		"the same while the broker takes nothing": {
			prepare: func(s *scheduler) {
				sent(s, func() { s.batches.add(testBatch(3)) }, noon)
				for _, g := range s.channelLost() {
					s.addAgain(g, noon)
				}
				s.block("alarm", broker.ErrBlocked)
			},
			wait: idle,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScheduler(10)
			c.prepare(&s)
			outstanding := len(s.window.groups)
			d := s.next(noon)
			if d.send == nil {
				if c.kind != "" || d.wait != c.wait {
					t.Fatalf("nothing leaves for %s; want %d events of kind %q, or to wait for %s", d.wait, c.events, c.kind, c.wait)
				}
				return
			}
			if got := kinds([]*group{d.send}); got != c.kind || len(d.send.items) != c.events || d.again != c.again {
				t.Errorf("%d events of kind %q leave (again: %t), want %d of %q (%t)", len(d.send.items), got, d.again, c.events, c.kind, c.again)
			}
			if s.window.groups[d.send.number] != d.send || !d.send.sent.Equal(noon) {
				t.Errorf("number %d, sent at %s, is not outstanding", d.send.number, d.send.sent)
			}
			if added := len(s.window.groups) - outstanding; added != 1 && !c.again {
				t.Errorf("%d groups more are outstanding", added)
			}
		})
	}
}

func TestAWithdrawnEventIsInNoGroup(t *testing.T) {
	s := newScheduler(10)
	first, second, third := testSingle(), testSingle(), testSingle()
	s.singles.add(first)
	s.singles.add(second)
	s.singles.add(third)
	s.singles.withdraw(second)
	g := s.next(noon).send
	if g == nil || len(g.singles) != 2 || g.singles[0] != first || g.singles[1] != third {
		t.Fatalf("took %+v", g)
	}
	if l := s.singles; l.count != 0 || l.bytes != 0 || len(l.requests) != 0 {
		t.Errorf("left %+v", l)
	}
}

func TestBatchesTakeTurns(t *testing.T) {
	s := newScheduler(10)
	a, b := testBatch(25), testBatch(15)
	s.batches.add(a)
	s.batches.add(b)
	var order []*batchRequest
	for now := noon; len(s.batches.requests) > 0; now = now.Add(paceInterval) {
		g := s.next(now).send
		if g == nil {
			t.Fatal("nothing leaves with the pace")
		}
		order = append(order, g.batch)
	}
	if want := []*batchRequest{a, b, a, b, a}; len(order) != len(want) || order[0] != a || order[1] != b || order[2] != a || order[3] != b {
		t.Errorf("%d turns", len(order))
	}
}

func TestABatchIsAnsweredOnce(t *testing.T) {
	s := newScheduler(10)
	b := testBatch(30)
	s.batches.add(b)
	first, second := s.next(noon).send, s.next(noon).send
	refused := errors.New("refused")
	first.answer(refused)
	second.answer(nil)
	if err := <-b.result; !errors.Is(err, refused) {
		t.Errorf("told %v", err)
	}
	// After a failed group the batch publishes no more.
	if s.batches.dropAnswered(); len(s.batches.requests) != 0 {
		t.Error("the failed batch is still in line")
	}
	select {
	case err := <-b.result:
		t.Errorf("told twice: %v", err)
	default:
	}
}

func TestFailTellsWhatWasPublished(t *testing.T) {
	s := newScheduler(10)
	single, fresh, begun := testSingle(), testBatch(5), testBatch(15)
	s.batches.add(begun)
	if s.next(noon).send == nil {
		t.Fatal("the batch does not begin")
	}
	s.singles.add(single)
	s.batches.add(fresh)
	s.fail(errors.New("gone"))
	if err := <-single.result; !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("single: %v", err)
	}
	if err := <-fresh.result; !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("fresh batch: %v", err)
	}
	if err := <-begun.result; !errors.Is(err, broker.ErrNotConfirmed) {
		t.Errorf("begun batch: %v", err)
	}
}

// A lost connection leaves nothing waiting, nothing outstanding and nothing known.
func TestALostConnectionLeavesNothing(t *testing.T) {
	s := newScheduler(10)
	single, batch := testSingle(), testBatch(15)
	s.batches.add(batch)
	sendAll(&s, noon)
	s.singles.add(single)
	s.learn(1 << 20)
	outstanding := s.connectionLost(errors.New("gone"))
	if len(outstanding) != 1 || outstanding[0].batch != batch {
		t.Errorf("%d groups were outstanding", len(outstanding))
	}
	if err := <-single.result; !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("single: %v", err)
	}
	if err := <-batch.result; !errors.Is(err, broker.ErrNotConfirmed) {
		t.Errorf("batch: %v", err)
	}
	if !s.empty() || s.limit != 0 || s.window.bytes != 0 || s.window.batchCount != 0 || s.window.batchBytes != 0 || s.maxEvents != 10 {
		t.Errorf("left %+v", s)
	}
	s.singles.add(testSingle())
	if g := s.next(noon).send; g == nil || g.number != 1 {
		t.Errorf("the next connection begins with %+v", g)
	}
}

// A group is overdue unless the broker said meanwhile that it takes nothing.
func TestOverdue(t *testing.T) {
	s := newScheduler(10)
	s.singles.add(testSingle())
	sendAll(&s, noon)
	if s.overdue(noon) || !s.overdue(noon.Add(1)) {
		t.Error("it is overdue by another time than that it was sent at")
	}
	s.block("alarm", broker.ErrBlocked)
	if s.overdue(noon.Add(1)) {
		t.Error("it is overdue while the broker takes nothing")
	}
	s.unblock(noon.Add(2))
	if s.overdue(noon.Add(1)) || !s.overdue(noon.Add(2)) {
		t.Error("the time in which the broker took nothing counts")
	}
}

// Single events and batches alternate, and batches leave most of the
// window free.
func TestFairness(t *testing.T) {
	s := newScheduler(64)
	s.batches.add(testBatch(64 * maxOutstanding))
	for range 64 * 20 {
		s.singles.add(testSingle())
	}
	order := kinds(sendAll(&s, noon))
	if want := strings.Repeat("sb", maxBatchBeside); !strings.HasPrefix(order, want) {
		t.Errorf("order %s", order)
	}
	if s.window.batchCount != maxBatchBeside {
		t.Errorf("%d messages of batches are outstanding beside single events, want %d", s.window.batchCount, maxBatchBeside)
	}
	s.singles.add(testSingle())
	if d := s.next(noon); d.send == nil && d.wait > paceInterval {
		t.Error("a single event finds no room beside batches")
	}
}

// Batches have more of the window when no single event has come for a while.
func TestBatchesAlone(t *testing.T) {
	s := newScheduler(64)
	s.singles.add(testSingle())
	if g := s.next(noon).send; g == nil || g.isBatch {
		t.Fatal("the single event does not leave at once")
	}
	s.batches.add(testBatch(64 * maxOutstanding))
	now := noon
	for _, want := range []int{maxBatchBeside, maxBatchOutstanding} {
		sendAll(&s, now)
		if s.window.batchCount != want {
			t.Errorf("%d messages of batches are outstanding, want %d", s.window.batchCount, want)
		}
		now = now.Add(besideFor)
	}
}

// Each lane has its own pace: a batch whose groups follow each other faster than a pace
// does not keep a single event until a whole group of them has come.
func TestABusyBatchDoesNotHoldASingleEventUp(t *testing.T) {
	s := newScheduler(64)
	s.batches.add(testBatch(64 * maxOutstanding))
	s.singles.add(testSingle())
	var waited time.Duration
	now, start := noon, noon
	for range 64 {
		d := s.next(now)
		switch {
		case d.send == nil:
			now = now.Add(d.wait)
		case !d.send.isBatch:
			if waited = max(waited, now.Sub(start)); waited > paceInterval {
				t.Fatalf("a single event waited for %s, longer than a pace of %s", waited, paceInterval)
			}
			start = now
			s.singles.add(testSingle())
		default:
			now = now.Add(paceInterval / 5) // the broker's confirm, before the next group
			s.window.remove(d.send.number)
			d.send.answer(nil)
		}
	}
	if waited == 0 {
		t.Error("no single event waited; this has tried nothing")
	}
}
