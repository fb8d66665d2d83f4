package drain

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/tracing"
)

// maxLinks is how many traces a batch's span is linked to, and how many of them get a span for
// their events of the batch.
const maxLinks = 128

// Tracing makes the spans of batches. A nil *Tracing makes no spans and costs nothing.
type Tracing struct {
	Tracer trace.Tracer
	Queue  tracing.Queue
}

// batchSpan is a batch's span, and the traces that its events come from.
type batchSpan struct {
	tracing       *Tracing
	span          trace.Span
	batch         *batch
	sources       []source
	sourceOf      []int // by the event's index; -1: no recorded trace
	inSourceTrace bool  // the batch has one source, and the span is in its trace
}

// source is a trace context that one or more events of a batch carry.
type source struct {
	context trace.SpanContext
	first   int // index of an event
	events  int
	tally   tally
}

// tally is what became of some events.
type tally struct {
	stored, duplicates, deadLettered int
	reason                           string // of a dead letter
}

// startBatch begins the span of a batch, if one of its events belongs to a recorded trace, or if no
// event belongs to a trace and the sampler wants the span. It is a root, linked to the events'
// contexts, since it can't be in the traces of all of them; if all belong to one trace, it is in
// that.
func (t *Tracing) startBatch(ctx context.Context, b *batch) (context.Context, *batchSpan) {
	if t == nil {
		return ctx, nil
	}
	s := &batchSpan{tracing: t, batch: b, sourceOf: make([]int, len(b.events))}
	traced := s.findSources()
	if traced && len(s.sources) == 0 {
		return ctx, nil
	}
	attributes := t.Queue.Attributes("process", semconv.MessagingOperationTypeProcess, semconv.MessagingBatchMessageCount(b.count))
	links := make([]trace.Link, min(len(s.sources), maxLinks))
	for i := range links {
		links[i].SpanContext = s.sources[i].context
	}
	if left := len(s.sources) - len(links); left > 0 {
		attributes = append(attributes, attribute.Int("trailpost.links_dropped", left))
	}
	if s.inSourceTrace = s.oneSource(); s.inSourceTrace {
		ctx = trace.ContextWithRemoteSpanContext(ctx, s.sources[0].context)
	}
	ctx, s.span = t.Tracer.Start(ctx, "process "+t.Queue.Name, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithTimestamp(b.began), trace.WithLinks(links...), trace.WithAttributes(attributes...))
	return ctx, s
}

// findSources reports whether any event carries a context, recorded or not.
func (s *batchSpan) findSources() (traced bool) {
	known := map[string]int{}
	for i := range s.batch.events {
		s.sourceOf[i] = -1
		parent := s.batch.events[i].TraceParent
		if parent == "" {
			continue
		}
		n, ok := known[parent]
		if !ok {
			sc := tracing.ParseTraceParent(parent)
			traced = traced || sc.IsValid()
			n = -1
			if sc.IsValid() && sc.IsSampled() {
				n = len(s.sources)
				s.sources = append(s.sources, source{context: sc, first: i})
			}
			known[parent] = n
		}
		if s.sourceOf[i] = n; n >= 0 {
			s.sources[n].events++
		}
	}
	return traced
}

// oneSource reports whether the whole batch belongs to one recorded trace.
func (s *batchSpan) oneSource() bool {
	return len(s.sources) == 1 && s.sources[0].events == s.batch.count
}

// recordResults writes into the span what became of the batch's events. Each trace that some of
// them belong to gets a span from their receipt to now, linked to the batch's, so that it shows its
// own end.
func (s *batchSpan) recordResults(results []result) {
	if s == nil {
		return
	}
	var all tally
	for i, r := range results {
		all.count(r)
		if n := s.sourceOf[i]; n >= 0 {
			s.sources[n].tally.count(r)
		}
	}
	all.deadLettered += s.batch.count - len(results) // what could not be read
	all.describe(s.span, s.inSourceTrace)
	if s.inSourceTrace {
		if s.batch.count == 1 {
			s.span.SetAttributes(semconv.MessagingMessageID(s.batch.events[0].ID.String()))
		}
		return
	}
	now := time.Now()
	link := trace.WithLinks(trace.Link{SpanContext: s.span.SpanContext()})
	for i := range s.sources[:min(len(s.sources), maxLinks)] {
		source := &s.sources[i]
		what := semconv.MessagingBatchMessageCount(source.events)
		if source.events == 1 {
			what = semconv.MessagingMessageID(s.batch.events[source.first].ID.String())
		}
		_, span := s.tracing.Tracer.Start(trace.ContextWithRemoteSpanContext(context.Background(), source.context), "store "+s.tracing.Queue.Name,
			trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(s.batch.began), link,
			trace.WithAttributes(s.tracing.Queue.Attributes("store", semconv.MessagingOperationTypeProcess, what)...))
		source.tally.describe(span, true)
		span.End(trace.WithTimestamp(now))
	}
}

// end ends the batch's span. An error says that the batch is not settled and will be redelivered.
func (s *batchSpan) end(err error) {
	if s == nil {
		return
	}
	if err != nil {
		tracing.Fail(s.span, "not_settled", err.Error())
	}
	s.span.End()
}

func (t *tally) count(r result) {
	switch {
	case r.rejected != nil:
		t.deadLettered++
		t.reason = deadletter.ReasonRejected
	case r.outcome == store.Reused:
		t.deadLettered++
		t.reason = deadletter.ReasonIDReused
	case r.outcome == store.KeyWithoutEvent:
		t.deadLettered++
		t.reason = deadletter.ReasonKeyWithoutEvent
	case r.outcome == store.Duplicate || r.outcome == store.NotCompared:
		t.duplicates++
	default:
		t.stored++
	}
}

// describe writes the tally into the span. fails says that a dead letter is the span's failure.
func (t *tally) describe(span trace.Span, fails bool) {
	span.SetAttributes(attribute.Int("trailpost.stored", t.stored), attribute.Int("trailpost.duplicates", t.duplicates),
		attribute.Int("trailpost.dead_lettered", t.deadLettered))
	if fails && t.reason != "" {
		tracing.Fail(span, t.reason, "dead-lettered")
	}
}

// startPublish begins the span of a publish to the dead-letter queue.
func (t *Tracing) startPublish(ctx context.Context, queue string, n int) (context.Context, trace.Span) {
	if t == nil || !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, trace.SpanFromContext(context.Background())
	}
	dead := t.Queue
	dead.Name = queue
	return t.Tracer.Start(ctx, "publish "+queue, trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(dead.Attributes("publish", semconv.MessagingOperationTypeSend, semconv.MessagingBatchMessageCount(n))...))
}
