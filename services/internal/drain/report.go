package drain

import (
	"log/slog"
	"time"

	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/store"
)

// report counts and logs the batch when it is settled. The words are those of the Python service,
// whose users grep for them.
func (a *attempt) report() {
	const processed = "Log event processed"
	now := a.opts.Now()
	stored, duplicates, notCompared := 0, 0, 0
	debug := a.opts.Logger.Enabled(a.spanCtx, slog.LevelDebug)
	for i, r := range a.results {
		e := &a.batch.events[i]
		switch {
		case r.rejected != nil || r.outcome == store.Reused || r.outcome == store.KeyWithoutEvent:
			continue
		case r.outcome == store.NotCompared:
			notCompared++
			duplicates++
		case r.outcome == store.Duplicate:
			duplicates++
		default:
			stored++
			a.opts.Metrics.lagSeconds.Observe(max(0, now.Sub(e.ReceivedAt).Seconds()))
		}
		if debug {
			a.opts.Logger.DebugContext(a.spanCtx, processed, "event_id", e.ID, "event_type", e.Type, "session_id", e.SessionID,
				"source", e.SourceName(), "duplicate", r.outcome != store.Stored, "traceparent", e.TraceParent)
		}
	}
	for i := range a.batch.messages {
		if deadletter.IsReplay(&a.batch.messages[i].Delivery) {
			a.opts.Metrics.replayed.Inc()
		}
	}
	a.opts.Metrics.stored.Add(float64(stored))
	a.opts.Metrics.duplicates.Add(float64(duplicates))
	a.opts.Metrics.notCompared.Add(float64(notCompared))
	a.opts.Logger.InfoContext(a.spanCtx, processed, "events", a.batch.count, "messages", len(a.batch.messages), "stored", stored,
		"duplicates", duplicates, "dead_lettered", a.letters, "seconds", time.Since(a.began).Seconds())
}
