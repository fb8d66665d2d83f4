package deadletter

import (
	"context"
	"errors"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/event"
)

// ReplayOptions choose the dead events to put back on the queue. Without ID and Reason that is all
// of them.
type ReplayOptions struct {
	ID     string // event_id
	Reason string
	// NewID gives each event another id, and keeps the former one in a header: for an event whose
	// id was reused, or is not valid. The id is derived (see [event.Key.Renew]), so that a letter
	// that is replayed twice is one event.
	NewID  bool
	DryRun bool      // changes nothing
	Key    event.Key // the consumers' identity key
	// Looked, if not nil, is called at the end with the number of dead events that there were to
	// choose from.
	Looked func(events int)
	// Progress, if not nil, is called now and then with the number of events whose replays the
	// broker holds durably.
	Progress func(events int)

	confirmTimeout time.Duration // 0: confirmTimeout; tests have less time
}

// Replayed is what became of a chosen event.
type Replayed struct {
	Entry
	NewID string // "" unless it got one
	// Left says why it stayed in the dead-letter queue; nil if it was put back on the queue.
	Left error
	// Unproven says that it was put back on the queue, and that its letter may still be there.
	Unproven bool
}

// replayWindow is how many messages are taken before their replays are published and confirmed.
const replayWindow = 100

// Replay puts the chosen dead events, of those that wait when it starts, back on the queue. A
// letter is removed only when the broker holds its replay durably, so an end at any moment loses
// nothing; it may leave an event both dead and replayed, which another replay does not store twice.
// report is called for every chosen event at the end, when it is proven that the letters are gone;
// the error is ErrUnproven where that is not proven, and ErrOthers where others held letters for so
// long that they were not looked at.
func Replay(ctx context.Context, cfg broker.Config, opts ReplayOptions, report func(Replayed) error) error {
	if opts.confirmTimeout == 0 {
		opts.confirmTimeout = confirmTimeout
	}
	r := replay{cfg: cfg, opts: opts, acked: map[fingerprint]int{}, stayed: map[fingerprint]int{}}
	err := r.takeAll(ctx)
	unproven := confirm(ctx, cfg, r.acked, opts.confirmTimeout)
	if r.missed && err == nil && unproven == nil {
		if err = r.takeReturned(ctx); err == nil {
			unproven = confirm(ctx, cfg, r.acked, opts.confirmTimeout)
		}
	}
	if opts.Looked != nil {
		opts.Looked(r.looked)
	}
	for _, one := range r.done {
		one.Unproven = unproven != nil && one.Left == nil && !opts.DryRun
		if err := report(one); err != nil {
			return err
		}
	}
	return errors.Join(err, unproven)
}

// replay is a replay in progress.
type replay struct {
	cfg       broker.Config
	opts      ReplayOptions
	browser   *admin.Browser
	publisher *admin.ConfirmingPublisher

	letters []chosenLetter // to be published by flush

	looked int                 // events
	done   []Replayed          // chosen events that were flushed
	acked  map[fingerprint]int // letters; some may come back
	stayed map[fingerprint]int // letters that were looked at and given back

	missed       bool // others held letters, or took some that were there
	onlyReturned bool // only letters that others gave back are looked at
}

// takeReturned waits until others have given back the letters that they held, and goes through
// those. A letter that came meanwhile is not one of them: nobody has given it back.
func (r *replay) takeReturned(ctx context.Context) error {
	if err := awaitAlone(ctx, r.cfg, r.opts.confirmTimeout); err != nil {
		return err
	}
	r.missed, r.onlyReturned = false, true
	if err := r.takeAll(ctx); err != nil {
		return err
	}
	if r.missed {
		return ErrOthers
	}
	return nil
}

// takeAll goes through the letters.
func (r *replay) takeAll(ctx context.Context) (err error) {
	r.browser, err = admin.OpenBrowser(ctx, r.cfg, r.cfg.DeadQueue())
	if err != nil {
		return err
	}
	defer func() {
		if closing := r.browser.Close(); err == nil {
			err = closing
		}
	}()
	r.publisher = admin.NewConfirmingPublisher(r.cfg)
	defer r.publisher.Close()
	alone, err := r.browser.Alone()
	if err != nil {
		return err
	}
	r.missed = !alone
	n, err := r.browser.Ready()
	if err != nil {
		return err
	}
	for range n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d, ok, err := r.browser.Get()
		if err != nil {
			return err
		}
		if !ok {
			r.missed = true
			break
		}
		if r.onlyReturned && !r.isReturned(&d) {
			continue
		}
		r.choose(&d, time.Now())
		if len(r.letters) >= replayWindow {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
	return r.flush(ctx)
}

// isReturned reports whether somebody else has given the letter back, and not this replay.
func (r *replay) isReturned(d *broker.Delivery) bool {
	f := fingerprintOf(d)
	if r.stayed[f] > 0 {
		r.stayed[f]--
		return false
	}
	return d.Redelivered
}

// flush publishes the replays and, once they are confirmed, acks their letters.
func (r *replay) flush(ctx context.Context) error {
	if err := r.publish(ctx); err != nil {
		return err
	}
	for i := range r.letters {
		c := &r.letters[i]
		if len(c.toQueue) > 0 {
			r.acked[c.letter]++ // even where sending fails, it may have been sent
			if err := r.browser.Ack(c.tag); err != nil {
				return err
			}
		} else {
			r.stayed[c.letter]++
		}
		for _, one := range c.events {
			one.line = nil // there may be many
			r.done = append(r.done, one)
		}
	}
	r.letters = nil
	if r.opts.Progress != nil {
		r.opts.Progress(len(r.done))
	}
	return nil
}

// publish puts the messages that replace the letters on the queues. A letter with a message that is
// too large for the broker stays, and does not keep others from being replayed.
func (r *replay) publish(ctx context.Context) error {
	for {
		var toQueue, toDead []broker.Message
		for i := range r.letters {
			c := &r.letters[i]
			if err := r.publisher.Fits(c.toQueue, c.toDead); err != nil {
				c.stay(err)
			}
			toQueue, toDead = append(toQueue, c.toQueue...), append(toDead, c.toDead...)
		}
		err := r.publisher.Publish(ctx, r.cfg.Queue, toQueue)
		if err == nil {
			err = r.publisher.Publish(ctx, r.cfg.DeadQueue(), toDead)
		}
		// The first error makes the limit known, and so does the first after a restart of the
		// broker.
		if tooLarge := new(broker.TooLargeError); errors.As(err, &tooLarge) && r.publisher.Fits(toQueue, toDead) != nil {
			continue
		}
		return err
	}
}
