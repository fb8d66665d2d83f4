package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/ingest/clientlog"
)

// postLog takes one event.
func (h *handler) postLog(c *gin.Context) error {
	body, err := h.readBody(c, &eventRules)
	defer body.close()
	if err != nil {
		return err
	}
	e, ignored, err := h.parser.Parse(body.bytes, originOf(c))
	if err != nil {
		return err
	}
	if err := h.accepting(1); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := h.publisher.Publish(ctx, &e); err != nil {
		p := publishProblem(c, err, 1)
		if p.kind == kindNotConfirmed {
			p.eventID = e.ID.String()
		}
		return p
	}
	shortenAll(ignored)
	h.noteAccepted(ctx, &e)
	h.noteIgnored(ctx, ignored)
	writeAccepted(c, &e, ignored)
	return nil
}

// postBatch takes many events: all of them or, if one has a fault, none.
func (h *handler) postBatch(c *gin.Context) error {
	body, err := h.readBody(c, &batchRules)
	defer body.close()
	if err != nil {
		return err
	}
	parse := h.parser.ParseArray
	if body.media == mediaLines {
		parse = h.parser.ParseLines
	}
	events, ignored, err := parse(body.bytes, originOf(c))
	if err != nil {
		return err
	}
	h.rates.Charge(senderOf(c), len(events)-1)
	if err := h.accepting(len(events)); err != nil {
		return err
	}
	ctx := c.Request.Context()
	if err := h.publisher.PublishBatch(ctx, events); err != nil {
		p := publishProblem(c, err, len(events))
		if p.kind == kindNotConfirmed || p.kind == kindTooLarge && errors.Is(err, broker.ErrNotConfirmed) {
			p.eventIDs = ids(events)
		}
		return p
	}
	shortenAll(ignored)
	for i := range events {
		h.noteAccepted(ctx, &events[i])
	}
	h.noteIgnored(ctx, ignored)
	writeJSON(c, http.StatusAccepted, appendBatchAccepted(nil, events, ignored))
	return nil
}

// originOf returns what the events of a request have from it.
func originOf(c *gin.Context) event.Origin {
	return event.Origin{KeyName: senderOf(c).KeyName, TraceParent: c.GetHeader("Traceparent")}
}

// accepting returns a problem while events may not be accepted, whatever the publisher could do.
func (h *handler) accepting(events int) error {
	err := h.refusal()
	if err == nil {
		return nil
	}
	p := newProblem(kindLossyPolicy, fmt.Sprintf("Nothing was published, since %v. Retry when its operator has changed that.", err))
	p.events, p.cause = events, err
	return p
}

// publishProblem turns a publisher's error into the answer.
func publishProblem(c *gin.Context, err error, events int) *problem {
	var p *problem
	var tooLarge *broker.TooLargeError
	switch {
	case c.Request.Context().Err() != nil:
		p = newProblem(kindClientGone, "The client closed the connection.")
	case errors.Is(err, broker.ErrUnavailable):
		p = newProblem(kindUnavailable, "Nothing was published; retry the request.")
	case errors.As(err, &tooLarge):
		p = newProblem(kindTooLarge, fmt.Sprintf("The event takes %d bytes on the queue, and the message broker takes at most %d in a message.", tooLarge.Size, tooLarge.Limit))
		if events > 1 {
			p.detail = fmt.Sprintf("Event %d takes %d bytes on the queue, and the message broker takes at most %d in a message.", tooLarge.Index, tooLarge.Size, tooLarge.Limit)
			p.faults = []event.FieldError{{Index: &tooLarge.Index, Field: "body", Message: "is too large for the message broker"}}
		}
	default:
		p = newProblem(kindNotConfirmed, "It may have been published or not; retry with the id given here, and it is stored once.")
	}
	p.events, p.cause = events, err
	return p
}

func ids(events []event.Event) []string {
	list := make([]string, len(events))
	for i := range events {
		list[i] = events[i].ID.String()
	}
	return list
}

// shortenAll bounds the length of an answer that repeats a client's names.
func shortenAll(names []string) {
	for i, name := range names {
		names[i] = clientlog.Shorten(name)
	}
}

// noteAccepted counts an event and logs what should be known of it; the payload is never logged.
func (h *handler) noteAccepted(ctx context.Context, e *event.Event) {
	h.metrics.accepted.Inc()
	if !event.Known(e.Type) {
		h.metrics.unknownTypes.Inc()
		eventType := clientlog.Printable(e.Type)
		if more, ok := h.sampler.Allow("type "+eventType, noticeInterval); ok {
			h.log.LogAttrs(ctx, slog.LevelWarn, "unknown event type accepted",
				slog.String("event_type", eventType), slog.Int("more_since_last", more))
		}
	}
	if h.log.Enabled(ctx, slog.LevelDebug) {
		h.log.LogAttrs(ctx, slog.LevelDebug, "event accepted",
			slog.String("event_id", e.ID.String()), slog.String("event_type", clientlog.Printable(e.Type)),
			slog.Int64("session_id", e.SessionID), slog.String("traceparent", e.TraceParent))
	}
}

// noteIgnored counts and logs names that the client may have misspelt.
func (h *handler) noteIgnored(ctx context.Context, names []string) {
	h.metrics.ignoredMembers.Add(float64(len(names)))
	for _, name := range names {
		name = clientlog.Printable(name)
		if more, ok := h.sampler.Allow("member "+name, noticeInterval); ok {
			h.log.LogAttrs(ctx, slog.LevelWarn, "unknown member ignored",
				slog.String("member", name), slog.Int("more_since_last", more))
		}
	}
}
