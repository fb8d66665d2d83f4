package tracing

import (
	"context"
	"log/slog"
	"sync"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// complaintInterval is between two log lines about a collector that takes nothing.
const complaintInterval = time.Minute

// quiet keeps an exporter's trouble to a log line now and then: losing spans is
// no reason to do anything else differently.
type quiet struct {
	sdk.SpanExporter
	log *slog.Logger

	mu         sync.Mutex
	lost       int // spans since it last worked
	complained time.Time
}

func (q *quiet) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := q.SpanExporter.ExportSpans(ctx, spans)
	q.mu.Lock()
	defer q.mu.Unlock()
	if err == nil {
		if q.lost > 0 {
			q.log.Info("traces are sent again", "spans_lost", q.lost)
			q.lost, q.complained = 0, time.Time{}
		}
		return nil
	}
	q.lost += len(spans)
	if time.Since(q.complained) >= complaintInterval {
		q.complained = time.Now()
		q.log.Warn("traces can't be sent; nothing else suffers", "error", err, "spans_lost", q.lost)
	}
	return nil
}
