package deadletter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/event"
)

// ReplayOptions choose the dead events to put back on the queue. Without ID
// and Reason that is all of them.
type ReplayOptions struct {
	ID     string // event_id
	Reason string
	// NewID gives each event another id, and keeps the former one in a
	// header: for an event whose id was reused, or is none. The id is derived (see
	// [event.Key.Renew]), so that a letter that is replayed twice is one event.
	NewID  bool
	DryRun bool      // changes nothing
	Key    event.Key // the consumers' identity key
	// Looked, if not nil, hears at the end how many dead events there were to choose from.
	Looked func(events int)
	// Progress, if not nil, hears now and then how many events' replays the broker holds for good.
	Progress func(events int)

	confirmTimeout time.Duration // 0: confirmTimeout; tests have less time
}

// Replayed is what became of a chosen event.
type Replayed struct {
	Entry
	NewID string // "" unless it got one
	// Left says why it stayed in the dead-letter queue; nil if it was put
	// back on the queue.
	Left error
	// Unproven says that it was put back on the queue, and its letter may be there still.
	Unproven bool
}

// replayWindow is how many messages are taken before their replays are
// published and confirmed.
const replayWindow = 100

// Replay puts the chosen ones of the dead events that wait when it starts back
// on the queue. A letter is removed only when the broker holds its replay for
// good, so an end at any moment loses nothing; it may leave an event both dead
// and replayed, which another replay does not store twice. report hears of every chosen event at the end, when it
// is proven that the letter is gone; the error is ErrUnproven where it is not, and ErrOthers where others held letters
// for so long that they were not looked at.
func Replay(ctx context.Context, cfg broker.Config, opts ReplayOptions, report func(Replayed) error) error {
	if opts.confirmTimeout == 0 {
		opts.confirmTimeout = confirmTimeout
	}
	r := replay{cfg: cfg, opts: opts, acked: map[fingerprint]int{}, stayed: map[fingerprint]int{}}
	err := r.all(ctx)
	unproven := confirm(ctx, cfg, r.acked, opts.confirmTimeout)
	if r.missed && err == nil && unproven == nil {
		if err = r.again(ctx); err == nil {
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

// replay is a replay under way.
type replay struct {
	cfg       broker.Config
	opts      ReplayOptions
	browser   *admin.Browser
	publisher *admin.ConfirmingPublisher

	letters []chosen // wait for flush

	looked int                 // events
	done   []Replayed          // chosen ones that were flushed
	acked  map[fingerprint]int // letters, of which some may come back
	stayed map[fingerprint]int // letters that were looked at and given back

	missed   bool // others held letters, or took some that were there
	returned bool // only what others gave back is looked at
}

// chosen is a letter of which something is chosen.
type chosen struct {
	tag             uint64
	letter          fingerprint
	toQueue, toDead []broker.Message // which take its place; none: it stays as it is
	events          []Replayed       // the chosen ones
}

// stay leaves the letter where it is.
func (c *chosen) stay(reason error) {
	c.toQueue, c.toDead = nil, nil
	for i := range c.events {
		if c.events[i].Left == nil {
			c.events[i].Left = reason
		}
	}
}

// again waits until others have given back what they held, and goes through that. A letter that came meanwhile is not
// among it: nobody has given that one back.
func (r *replay) again(ctx context.Context) error {
	if err := awaitAlone(ctx, r.cfg, r.opts.confirmTimeout); err != nil {
		return err
	}
	r.missed, r.returned = false, true
	if err := r.all(ctx); err != nil {
		return err
	}
	if r.missed {
		return ErrOthers
	}
	return nil
}

// all goes through the letters.
func (r *replay) all(ctx context.Context) (err error) {
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
		if r.returned && !r.isReturned(&d) {
			continue
		}
		r.message(&d, time.Now())
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

func (r *replay) wants(e *Entry) bool {
	return (r.opts.ID == "" || e.goesBy(r.opts.ID)) && (r.opts.Reason == "" || r.opts.Reason == e.Reason)
}

// message decides about a letter. One of which nothing is chosen stays in
// hand, unacked, until the end gives it back.
func (r *replay) message(d *broker.Delivery, now time.Time) {
	all := entries(d, r.opts.Key, now)
	r.looked += len(all)
	c := chosen{tag: d.Tag, letter: fingerprintOf(d)}
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
		c.toQueue = append(c.toQueue, whole(d, all))
		return
	}
	for _, one := range leave {
		c.toQueue = append(c.toQueue, one.message(d))
	}
	for _, one := range stay {
		c.toDead = append(c.toDead, one.letter(d))
	}
}

// flush makes the replays safe, and asks for the removal of their letters.
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

// publish puts on the queues what takes the letters' place. One with a message that is too large for the broker stays, and
// keeps no other.
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
		// The first tells of the limit, and so does the first after the broker was started anew.
		if tooLarge := new(broker.TooLargeError); errors.As(err, &tooLarge) && r.publisher.Fits(toQueue, toDead) != nil {
			continue
		}
		return err
	}
}

// renew gives the event another id. Its time stays what it was.
func (one *Replayed) renew(key event.Key, now time.Time) error {
	renewed, err := key.Renew(one.line, one.FirstTime, now)
	if err != nil {
		return fmt.Errorf("it can't get a new id: %w", err)
	}
	one.FormerID = renewed.FormerID
	one.NewID = renewed.ID.String()
	one.EventType = renewed.Type
	one.line = event.AppendWire(nil, &renewed.Event)
	return nil
}

// headers are those that a replay keeps.
func (e *Entry) headers(replays int64) map[string]any {
	headers := map[string]any{HeaderReplays: replays}
	if !e.FirstTime.IsZero() {
		headers[HeaderFirst] = e.FirstTime.Format(timeForm)
	}
	if e.FormerID != "" {
		headers[HeaderFormerID] = e.FormerID
	}
	return headers
}

// whole is a message as it was before it was dead-lettered.
func whole(d *broker.Delivery, all []Entry) broker.Message {
	headers := all[0].headers(all[0].Replays + 1)
	headers[broker.HeaderEvents] = int32(len(all)) //nolint:gosec // at most 10,000
	return broker.Message{Body: d.Body, ContentType: d.ContentType, MessageID: d.MessageID, Type: d.Type, Headers: headers}
}

// message is one event for the queue.
func (one *Replayed) message(d *broker.Delivery) broker.Message {
	headers := one.headers(one.Replays + 1)
	headers[broker.HeaderEvents] = int32(1)
	m := broker.Message{Body: one.line, ContentType: d.ContentType, MessageID: one.EventID, Type: one.EventType, Headers: headers}
	if d.IsGroup() {
		m.ContentType = broker.ContentEvent
	}
	if one.NewID != "" {
		m.MessageID = one.NewID
	}
	return m
}

// letter is one event of a group, for the dead-letter queue, with what is
// known of its death.
func (one *Replayed) letter(d *broker.Delivery) broker.Message {
	headers := one.headers(one.Replays)
	maps.Copy(headers, map[string]any{
		HeaderReason: one.Reason,
		HeaderDetail: one.Detail,
		HeaderLast:   one.LastTime.Format(timeForm),
	})
	if one.SQLState != "" {
		headers[HeaderSQLState] = one.SQLState
	}
	m := broker.Message{Body: one.line, ContentType: broker.ContentEvent, MessageID: one.EventID, Type: one.EventType, Headers: headers}
	if !d.IsGroup() {
		m.ContentType = d.ContentType
	}
	return m
}
