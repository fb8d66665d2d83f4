package tracing

import (
	"context"
	"log/slog"
	"sync"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// warnInterval is the time between two log lines about a collector that takes no spans.
const warnInterval = time.Minute

// throttledExporter logs the errors of an exporter, at most one per interval, and returns none:
// losing spans is no reason to do anything else differently.
type throttledExporter struct {
	sdk.SpanExporter
	log *slog.Logger

	mu     sync.Mutex
	lost   int       // spans since it last worked
	warned time.Time // last; zero if it has worked since
}

// ExportSpans implements sdk.SpanExporter.
func (e *throttledExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err == nil {
		if e.lost > 0 {
			e.log.Info("traces are sent again", "spans_lost", e.lost)
			e.lost, e.warned = 0, time.Time{}
		}
		return nil
	}
	e.lost += len(spans)
	if time.Since(e.warned) >= warnInterval {
		e.warned = time.Now()
		e.log.Warn("traces can't be sent; nothing else suffers", "error", err, "spans_lost", e.lost)
	}
	return nil
}
