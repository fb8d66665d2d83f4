package publish

import (
	"context"
	"errors"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/tracing"
)

// In the words of the messaging conventions an event is a message, since it has an id and a
// creation context, and one of ours on the wire is a batch. So a request's "send" span is a
// PRODUCER, whose context goes with its events; the "publish" span of a group, from its writing to
// the broker's confirm, is a CLIENT, linked to what it carries.

// maxLinks is how many links a span may have.
const maxLinks = 128

// sendSpan is the span of a request's events, from the lane to the answer. The zero value, for when
// nothing is traced, does nothing.
type sendSpan struct{ span trace.Span }

// startSendSpan begins a span for n events, of which e is the first.
func (p *Publisher) startSendSpan(ctx context.Context, e *event.Event, n int) sendSpan {
	if p.cfg.Tracer == nil {
		return sendSpan{}
	}
	attributes := p.cfg.TracedQueue().Attributes("send", semconv.MessagingOperationTypeSend)
	if n == 1 {
		attributes = append(attributes, semconv.MessagingMessageID(e.ID.String()))
	} else {
		attributes = append(attributes, semconv.MessagingBatchMessageCount(n))
	}
	_, span := p.cfg.Tracer.Start(ctx, "send "+p.cfg.Queue, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(attributes...))
	return sendSpan{span}
}

// item is newItem, with the span's context in place of the client's.
func (s sendSpan) item(e *event.Event) item {
	if s.span == nil {
		return newItem(e)
	}
	traced := *e
	traced.TraceParent = tracing.TraceParent(s.span.SpanContext())
	it := newItem(&traced)
	it.span = s.span
	return it
}

func (s sendSpan) end(err error) {
	if s.span != nil {
		if err != nil {
			kind := "not_confirmed"
			if errors.Is(err, broker.ErrUnavailable) {
				kind = "unavailable"
			} else if large := new(broker.TooLargeError); errors.As(err, &large) {
				kind = "too_large"
			}
			tracing.Fail(s.span, kind, err.Error())
		}
		s.span.End()
	}
}

// startPublishSpanLocked begins a group's span: in the trace of its first event that is recorded,
// and linked to the others'. Those are linked to it in turn, so that one finds it from each.
func (p *Publisher) startPublishSpanLocked(g *group) {
	if p.cfg.Tracer == nil {
		return
	}
	var parent trace.Span
	var links []trace.Link
	for _, it := range g.items {
		switch span := it.span; {
		case span == nil || !span.IsRecording() || span == parent:
		case parent == nil:
			parent = span
		case len(links) < maxLinks && (len(links) == 0 || !links[len(links)-1].SpanContext.Equal(span.SpanContext())):
			links = append(links, trace.Link{SpanContext: span.SpanContext()})
		}
	}
	if parent == nil {
		return
	}
	_, g.span = p.cfg.Tracer.Start(trace.ContextWithSpan(context.Background(), parent), "publish "+p.cfg.Queue,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithLinks(links...),
		trace.WithAttributes(p.cfg.TracedQueue().Attributes("publish", semconv.MessagingOperationTypeSend,
			semconv.MessagingBatchMessageCount(len(g.items)), semconv.MessagingMessageBodySize(g.bytes))...))
	for _, s := range g.singles {
		if s.span != nil && s.span.IsRecording() && s.span != parent {
			s.span.AddLink(trace.Link{SpanContext: g.span.SpanContext()})
		}
	}
}

// endSpan ends the group's span when its outcome is known; cause is "" if it is confirmed.
func (g *group) endSpan(cause string, reason error) {
	if g.span == nil {
		return
	}
	if cause != "" {
		tracing.Fail(g.span, cause, reason.Error())
	}
	g.span.End()
}
