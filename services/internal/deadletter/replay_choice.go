package deadletter

import (
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// chosenLetter is a letter with at least one chosen event.
type chosenLetter struct {
	tag             uint64
	letter          fingerprint
	toQueue, toDead []broker.Message // they replace it; without any it stays as it is
	events          []Replayed       // the chosen ones
}

// stay leaves the letter where it is, for a reason.
func (c *chosenLetter) stay(reason error) {
	c.toQueue, c.toDead = nil, nil
	for i := range c.events {
		if c.events[i].Left == nil {
			c.events[i].Left = reason
		}
	}
}

// wants reports whether an event is chosen.
func (r *replay) wants(e *Entry) bool {
	return (r.opts.ID == "" || e.hasID(r.opts.ID)) && (r.opts.Reason == "" || r.opts.Reason == e.Reason)
}

// choose decides about a letter. One without a chosen event stays unacked until the end gives it
// back.
func (r *replay) choose(d *broker.Delivery, now time.Time) {
	all := entries(d, r.opts.Key, now)
	r.looked += len(all)
	c := chosenLetter{tag: d.Tag, letter: fingerprintOf(d)}
	var leave, stay []Replayed
	for _, e := range all {
		one := Replayed{Entry: e}
		if !r.wants(&e) {
			stay = append(stay, one)
			continue
		}
		if r.opts.NewID {
			if err := one.renew(r.opts.Key, now); err != nil {
				one.Left = err
				stay = append(stay, one)
				c.events = append(c.events, one)
				continue
			}
		}
		leave = append(leave, one)
		c.events = append(c.events, one)
	}
	if len(c.events) == 0 {
		r.stayed[c.letter]++
		return
	}
	defer func() { r.letters = append(r.letters, c) }()
	if len(leave) == 0 || r.opts.DryRun {
		return
	}
	// A whole group goes back as one, unless the queue's readers can't read groups.
	if len(stay) == 0 && !r.opts.NewID && r.cfg.QueueType != broker.Classic {
		c.toQueue = append(c.toQueue, wholeMessage(d, all))
		return
	}
	for _, one := range leave {
		c.toQueue = append(c.toQueue, one.message(d))
	}
	for _, one := range stay {
		c.toDead = append(c.toDead, one.letter(d))
	}
}
