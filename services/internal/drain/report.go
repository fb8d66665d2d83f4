package drain

import (
	"log/slog"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/store"
)

// letters are the dead letters of a batch: what could not be read, and what
// can't be stored.
func (b *batch) letters(results []result) []deadletter.Letter {
	var letters []deadletter.Letter
	for _, m := range b.messages {
		letters = append(letters, m.letters...)
	}
	for i, r := range results {
		e := &b.events[i]
		letter := deadletter.Letter{ID: e.ID, Type: e.Type, ContentType: broker.ContentEvent, Trace: e.TraceParent}
		switch {
		case r.poison != nil:
			letter.Reason, letter.Detail, letter.SQLState = deadletter.ReasonRejected, r.poison.Error(), store.SQLState(r.poison)
		case r.outcome == store.Reused:
			letter.Reason, letter.Detail = deadletter.ReasonIDReused, "the trail holds another event under this event_id"
		default:
			continue
		}
		letter.Body = e.Raw // with its derived id written in, it would be another event to a consumer with another key
		if letter.Body == nil {
			letter.Body = event.AppendWire(nil, e)
		}
		letter.Carried = b.carried(i)
		letters = append(letters, letter)
	}
	return letters
}

// report counts and logs the batch when it is settled. The words are the Python
// service's, whose users grep for them.
func (a *attempt) report() {
	const processed = "Log event processed"
	now := a.opts.Now()
	stored, duplicates := 0, 0
	debug := a.opts.Logger.Enabled(a.ctx, slog.LevelDebug)
	for i, r := range a.results {
		e := &a.batch.events[i]
		switch {
		case r.poison != nil || r.outcome == store.Reused:
			continue
		case r.outcome == store.Duplicate:
			duplicates++
		default:
			stored++
			a.opts.Metrics.lagSeconds.Observe(max(0, now.Sub(e.ReceivedAt).Seconds()))
		}
		if debug {
			a.opts.Logger.DebugContext(a.ctx, processed, "event_id", e.ID, "event_type", e.Type, "session_id", e.SessionID,
				"duplicate", r.outcome == store.Duplicate, "traceparent", e.TraceParent)
		}
	}
	for i := range a.batch.messages {
		if deadletter.IsReplay(&a.batch.messages[i].Delivery) {
			a.opts.Metrics.replayed.Inc()
		}
	}
	a.opts.Metrics.stored.Add(float64(stored))
	a.opts.Metrics.duplicates.Add(float64(duplicates))
	a.opts.Logger.InfoContext(a.ctx, processed, "events", a.batch.count, "messages", len(a.batch.messages), "stored", stored,
		"duplicates", duplicates, "dead_lettered", a.letters, "seconds", time.Since(a.began).Seconds())
}
