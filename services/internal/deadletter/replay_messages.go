package deadletter

import (
	"fmt"
	"maps"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
)

// renew gives the event another id. The id's time stays the same.
func (one *Replayed) renew(key event.Key, now time.Time) error {
	renewed, err := key.Renew(one.line, one.FirstTime, now)
	if err != nil {
		return fmt.Errorf("it can't get a new id: %w", err)
	}
	one.FormerID = renewed.FormerID
	one.NewID = renewed.ID.String()
	one.EventType = renewed.Type
	one.identity = key.Name()
	one.line = event.AppendWire(nil, &renewed.Event)
	return nil
}

// headers returns the headers that a replay keeps.
func (e *Entry) headers(replays int64) map[string]any {
	headers := map[string]any{HeaderReplays: replays}
	if !e.FirstTime.IsZero() {
		headers[HeaderFirst] = e.FirstTime.Format(timeLayout)
	}
	if e.FormerID != "" {
		headers[HeaderFormerID] = e.FormerID
	}
	if e.identity != "" {
		headers[broker.HeaderIdentity] = e.identity
	}
	return headers
}

// wholeMessage returns a message as it was before it was dead-lettered.
func wholeMessage(d *broker.Delivery, all []Entry) broker.Message {
	headers := all[0].headers(all[0].Replays + 1)
	headers[broker.HeaderEvents] = int32(len(all)) //nolint:gosec // at most 10,000
	return broker.Message{Body: d.Body, ContentType: d.ContentType, MessageID: d.MessageID, Type: d.Type, Headers: headers}
}

// message returns the event as a message for the queue.
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

// letter returns the event of a group as a letter of its own for the dead-letter queue, with its
// reason and times.
func (one *Replayed) letter(d *broker.Delivery) broker.Message {
	headers := one.headers(one.Replays)
	maps.Copy(headers, map[string]any{
		HeaderReason: one.Reason,
		HeaderDetail: one.Detail,
		HeaderLast:   one.LastTime.Format(timeLayout),
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
