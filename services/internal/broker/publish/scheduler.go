package publish

import "time"

// scheduler decides which events share a message, and when it leaves. It owns what waits, what is
// outstanding and the pace. It does no I/O, starts no spans, counts nothing and has no clock, so
// that it can be read and tested alone: whoever calls it holds [Publisher.mu] and says what time it
// is. Every event is in exactly one place: a lane, a group of the window, or answered.
type scheduler struct {
	maxEvents int // of a group
	limit     int // the broker's max_message_size, bytes; 0: no message has been over it on this connection

	singles   singleLane
	batches   batchLane
	batchTurn bool // single events and batches alternate
	window    window
	again     []uint64 // numbers of outstanding groups that are to be written once more

	// Each lane has its own pace, or a busy one would hold the other up.
	lastSingles time.Time // when a group of single events was last sent
	lastBatch   time.Time // when a group of a batch was last sent

	blocked   string    // the broker's reason for taking nothing; "" if it takes messages
	unblocked time.Time // when it last began to take messages again
}

// Pacing. A lone event leaves at once. While messages are outstanding, a group that is not full
// waits for its pace: each message costs the broker much more than each event in it.
const (
	eagerMessages = 1                // with fewer outstanding, a group need not wait to be full
	paceInterval  = time.Millisecond // nor when this time has passed since the lane's last one
)

// idle is the wait of a scheduler that time alone won't change.
const idle = time.Hour

// decision is what the publisher is to do now.
type decision struct {
	send  *group        // to be written; nil: nothing may leave now
	again bool          // send was written before, on a channel that is lost
	wait  time.Duration // where send is nil: how long until something may leave, unless something happens before
}

func newScheduler(maxEvents int) scheduler {
	return scheduler{maxEvents: maxEvents, window: newWindow()}
}

// bounds returns how large a group may be.
func (s *scheduler) bounds() bounds {
	if s.limit > 0 {
		return bounds{s.maxEvents, min(s.limit, maxGroupBytes)}
	}
	return bounds{s.maxEvents, maxGroupBytes}
}

// next decides what to do now. A group that is to be sent is outstanding from then on.
func (s *scheduler) next(now time.Time) decision {
	if s.blocked != "" {
		return decision{wait: idle}
	}
	if len(s.again) > 0 {
		number := s.again[0]
		s.again = s.again[1:]
		return decision{send: s.window.groups[number], again: true}
	}
	if !s.window.hasRoom() {
		return decision{wait: idle}
	}
	s.batches.dropAnswered()
	var (
		singles     = s.singles.count > 0
		batches     = len(s.batches.requests) > 0 && s.window.hasBatchRoom(s.singlesCome(now))
		eager       = len(s.window.groups) < eagerMessages
		singlesIn   = s.lastSingles.Add(paceInterval).Sub(now)
		batchIn     = s.lastBatch.Add(paceInterval).Sub(now)
		sendSingles = singles && (eager || singlesIn <= 0 || s.singles.full(s.bounds()))
		sendBatch   = batches && (eager || batchIn <= 0 || s.batches.full(s.bounds()))
	)
	switch {
	case sendBatch && (s.batchTurn || !sendSingles):
		return decision{send: s.takeBatch(now)}
	case sendSingles:
		return decision{send: s.takeSingles(now)}
	case singles && batches:
		return decision{wait: min(singlesIn, batchIn)}
	case singles:
		return decision{wait: singlesIn}
	case batches:
		return decision{wait: batchIn}
	}
	return decision{wait: idle}
}

// singlesCome reports whether single events have come lately, which batches are to leave room for.
func (s *scheduler) singlesCome(now time.Time) bool { return now.Sub(s.lastSingles) < besideFor }

func (s *scheduler) takeSingles(now time.Time) *group {
	g := &group{}
	s.singles.take(g, s.bounds())
	s.batchTurn = true
	s.add(g, now)
	return g
}

func (s *scheduler) takeBatch(now time.Time) *group {
	g := &group{}
	s.batches.take(g, s.bounds())
	s.batchTurn = false
	s.add(g, now)
	return g
}

// add makes a group outstanding, which is about to be written.
func (s *scheduler) add(g *group, now time.Time) {
	s.window.add(g, now)
	if g.isBatch {
		s.lastBatch = now
	} else {
		s.lastSingles = now
	}
}

// addAgain makes a group outstanding, which is to be written once more.
func (s *scheduler) addAgain(g *group, now time.Time) {
	s.add(g, now)
	s.again = append(s.again, g.number)
}

// block notes that the broker takes nothing, and answers all that waits. Outstanding groups stay
// so, and are returned: their confirms may come when the broker takes messages again.
func (s *scheduler) block(text string, reason error) map[uint64]*group {
	s.blocked = text
	s.fail(reason)
	return s.window.groups
}

func (s *scheduler) unblock(now time.Time) { s.blocked, s.unblocked = "", now }

// overdue reports whether a group has waited for its confirm since before the given time. A blocked
// broker confirms nothing, and that is no fault of the session.
func (s *scheduler) overdue(since time.Time) bool {
	return s.blocked == "" && !s.unblocked.After(since) && s.window.hasOlder(since)
}

// learn keeps the broker's limit of a message, and answers all that waits and is over it. It takes
// the outstanding groups that have an event over it out of the window, for the caller to answer.
// explained reports whether a message was over it, by what we know.
func (s *scheduler) learn(limit int) (over []*group, explained bool) {
	s.limit = limit
	s.singles.refuse(limit)
	s.batches.refuse(limit)
	for number, g := range s.window.groups {
		if g.bodySize() <= limit {
			continue
		}
		explained = true
		if tooLarge(limit, g.items...) != nil {
			over = append(over, s.window.remove(number))
		}
	}
	return over, explained
}

// channelLost empties the window, and returns what was in it, in its order. Numbers start again at
// 1.
func (s *scheduler) channelLost() []*group {
	s.again = nil
	return s.window.reset()
}

// connectionLost answers all that waits and returns what was outstanding, for the caller to answer.
// Nothing is left of what was known of the connection.
func (s *scheduler) connectionLost(reason error) []*group {
	outstanding := s.channelLost()
	s.fail(reason)
	*s = scheduler{maxEvents: s.maxEvents, window: s.window}
	return outstanding
}

// fail answers all that waits, of which nothing was published but earlier groups of batches.
func (s *scheduler) fail(reason error) {
	s.singles.fail(reason)
	s.batches.fail(reason)
	s.batchTurn = false
}

// empty reports whether all that was let in is answered.
func (s *scheduler) empty() bool {
	s.batches.dropAnswered()
	return s.singles.count == 0 && len(s.batches.requests) == 0 && len(s.window.groups) == 0
}
