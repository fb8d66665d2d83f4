package deadletter

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
)

// ReplayOptions choose the dead events to put back on the queue. Without ID
// and Reason that is all of them.
type ReplayOptions struct {
	ID     string // event_id
	Reason string
	// NewID gives each event a fresh id, and keeps the former one in a
	// header: for an event whose id was reused.
	NewID  bool
	DryRun bool // changes nothing
}

// Replayed is what became of a chosen event.
type Replayed struct {
	Entry
	NewID string // "" unless it got one
	// Left says why it stayed in the dead-letter queue; nil if it was put
	// back on the queue.
	Left error
}

// replayWindow is how many messages are taken before their replays are
// published and confirmed.
const replayWindow = 100

// Replay puts the chosen ones of the dead events that wait when it starts back
// on the queue. A letter is removed only when the broker holds its replay for
// good, so an end at any moment loses nothing; it may leave an event both dead
// and replayed. report hears of every chosen event, after it is safe.
func Replay(ctx context.Context, cfg broker.Config, opts ReplayOptions, report func(Replayed) error) (err error) {
	b, err := broker.OpenBrowser(ctx, cfg, cfg.DeadQueue())
	if err != nil {
		return err
	}
	defer func() {
		if closing := b.Close(); err == nil {
			err = closing
		}
	}()
	outlet := broker.NewOutlet(cfg)
	defer outlet.Close()
	n, err := b.Ready()
	if err != nil {
		return err
	}
	r := replay{cfg: cfg, opts: opts, browser: b, outlet: outlet, report: report}
	for range n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d, ok, err := b.Get()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := r.message(&d, time.Now()); err != nil {
			return err
		}
		if len(r.acks) >= replayWindow {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
	return r.flush(ctx)
}

// replay is a replay under way.
type replay struct {
	cfg     broker.Config
	opts    ReplayOptions
	browser *broker.Browser
	outlet  *broker.Outlet
	report  func(Replayed) error

	// What waits for flush.
	toQueue, toDead []broker.Message
	acks            []uint64
	chosen          []Replayed
}

func (r *replay) wants(e *Entry) bool {
	return (r.opts.ID == "" || r.opts.ID == e.EventID) && (r.opts.Reason == "" || r.opts.Reason == e.Reason)
}

// message decides about a letter. One of which nothing is chosen stays in
// hand, unacked, until the end gives it back.
func (r *replay) message(d *broker.Delivery, now time.Time) error {
	all := entries(d, now)
	var leave, stay []Replayed
	for _, e := range all {
		one := Replayed{Entry: e}
		if !r.wants(&e) {
			stay = append(stay, one)
			continue
		}
		if r.opts.NewID {
			if err := one.renew(); err != nil {
				one.Left = err
				stay = append(stay, one)
				r.chosen = append(r.chosen, one)
				continue
			}
		}
		leave = append(leave, one)
		r.chosen = append(r.chosen, one)
	}
	if len(leave) == 0 || r.opts.DryRun {
		return nil
	}
	r.acks = append(r.acks, d.Tag)
	// A whole group goes back as one, unless the queue's readers can't read groups.
	if len(stay) == 0 && !r.opts.NewID && r.cfg.QueueType != broker.Classic {
		r.toQueue = append(r.toQueue, whole(d, all))
		return nil
	}
	for _, one := range leave {
		r.toQueue = append(r.toQueue, one.message(d))
	}
	for _, one := range stay {
		r.toDead = append(r.toDead, one.letter(d))
	}
	return nil
}

// flush makes the replays safe, removes their letters and reports.
func (r *replay) flush(ctx context.Context) error {
	if err := r.outlet.Publish(ctx, r.cfg.Queue, r.toQueue); err != nil {
		return err
	}
	if err := r.outlet.Publish(ctx, r.cfg.DeadQueue(), r.toDead); err != nil {
		return err
	}
	for _, tag := range r.acks {
		if err := r.browser.Ack(tag); err != nil {
			return err
		}
	}
	for _, one := range r.chosen {
		if err := r.report(one); err != nil {
			return err
		}
	}
	r.toQueue, r.toDead, r.acks, r.chosen = nil, nil, nil, nil
	return nil
}

// renew gives the event a fresh id. Its time stays what it was.
func (one *Replayed) renew() error {
	if one.event == nil {
		return fmt.Errorf("it can't be read as an event, so it can't get a new id")
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("mint an event id: %w", err)
	}
	one.FormerID = one.EventID
	one.NewID = id.String()
	renewed := *one.event
	renewed.ID = id
	one.line = event.AppendWire(nil, &renewed)
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
