package publish

import (
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// maxGroupBytes is how large a group's body may be, unless one event is larger.
const maxGroupBytes = 32 << 10

// bounds are how large a group may be.
type bounds struct {
	events int
	bytes  int // of its body, unless one event is larger
}

// group is the events of one message, and who waits for its confirm.
type group struct {
	items   []item
	bytes   int // with a line break after each event
	singles []*singleRequest
	batch   *batchRequest // nil for single events, and once answered
	isBatch bool
	number  uint64 // on its channel
	sent    time.Time
	span    trace.Span // nil when it is not traced
}

// bodySize returns how large the message's body is, bytes.
func (g *group) bodySize() int { return g.bytes - 1 }

func (g *group) fits(it item, b bounds) bool {
	return len(g.items) == 0 || len(g.items) < b.events && g.bytes+len(it.line) < b.bytes // and a line break
}

func (g *group) add(it item) {
	g.items = append(g.items, it)
	g.bytes += len(it.line) + 1
}

// answer tells all who wait for the group, once; the broker's own answer may come after theirs.
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

// refuse answers who waits for a group of one event, which is too large.
func (g *group) refuse(reason *broker.TooLargeError) {
	if b := g.batch; b != nil {
		b.refuse(reason)
	}
	g.answer(reason)
}

// isAwaited reports whether anybody still waits for the group.
func (g *group) isAwaited() bool {
	return len(g.singles) > 0 || g.batch != nil && !g.batch.over
}

// split makes groups of it that are within the bounds; it returns the group itself if it is.
func (g *group) split(b bounds) []*group {
	if g.bodySize() <= b.bytes || len(g.items) == 1 {
		return []*group{g}
	}
	parts := []*group{{isBatch: g.isBatch}}
	for i, it := range g.items {
		part := parts[len(parts)-1]
		if !part.fits(it, b) {
			part = &group{isBatch: g.isBatch}
			parts = append(parts, part)
		}
		part.add(it)
		if !g.isBatch {
			part.singles = append(part.singles, g.singles[i])
		}
	}
	if b := g.batch; b != nil {
		b.outstanding += len(parts) - 1
		for _, part := range parts {
			part.batch = b
		}
	}
	return parts
}
