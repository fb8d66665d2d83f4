package publish

import (
	"maps"
	"slices"
	"time"
)

// Bounds of the window. A fixed handful of outstanding messages would throttle a cluster whose
// confirms take 10 ms, and no limit would make every group small.
const (
	maxOutstanding      = 256 // messages without a confirm
	maxOutstandingBytes = 8 << 20
	maxBatchOutstanding = 32 // of them with events of batches
	// The same while single events come: the broker takes messages in turn, so each of them waits
	// for these.
	maxBatchBeside = 8
	besideFor      = 100 * time.Millisecond // how long single events count as coming
)

// window is the groups that wait for their confirms on one channel.
type window struct {
	groups     map[uint64]*group // by publish number, which is the delivery tag of the confirm
	bytes      int               // of their bodies
	batchCount int               // groups of batches
	batchBytes int
	published  uint64 // the latest number
}

func newWindow() window { return window{groups: make(map[uint64]*group, maxOutstanding)} }

// add notes a group that is about to be published, and gives it its number.
func (w *window) add(g *group, now time.Time) {
	w.published++
	g.number, g.sent = w.published, now
	w.groups[g.number] = g
	w.bytes += g.bytes
	if g.isBatch {
		w.batchCount++
		w.batchBytes += g.bytes
	}
}

// remove forgets an outstanding group, and returns it; nil if there is none of that number.
func (w *window) remove(number uint64) *group {
	g := w.groups[number]
	if g == nil {
		return nil
	}
	delete(w.groups, number)
	w.bytes -= g.bytes
	if g.isBatch {
		w.batchCount--
		w.batchBytes -= g.bytes
	}
	return g
}

// reset forgets all groups, and returns them in their order. Numbers start again at 1.
func (w *window) reset() []*group {
	var all []*group
	for _, number := range slices.Sorted(maps.Keys(w.groups)) {
		all = append(all, w.remove(number))
	}
	w.published = 0
	return all
}

// hasRoom reports whether another message may be outstanding.
func (w *window) hasRoom() bool {
	return len(w.groups) < maxOutstanding && w.bytes < maxOutstandingBytes
}

// hasBatchRoom reports whether another message of a batch may be outstanding: batches stay within
// a part of the window, so that single events always find room and soon have their turn at the
// broker. (A quorum queue's channel also reads nothing more of a connection with 32 messages that
// the queue has not answered, quorum_commands_soft_limit.)
func (w *window) hasBatchRoom(besideSingles bool) bool {
	most := maxBatchOutstanding
	if besideSingles {
		most = maxBatchBeside
	}
	return w.batchCount < most && w.batchBytes < maxOutstandingBytes/2
}

// hasOlder reports whether a group was sent before the given time.
func (w *window) hasOlder(than time.Time) bool {
	for _, g := range w.groups {
		if g.sent.Before(than) {
			return true
		}
	}
	return false
}
