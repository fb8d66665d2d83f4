package drain

import (
	"context"
	"errors"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/tracing"
)

// deadLetters returns the dead letters of a batch: of what could not be read, and of what can't be
// stored.
func (b *batch) deadLetters(results []result) []deadletter.Letter {
	var letters []deadletter.Letter
	for _, m := range b.messages {
		letters = append(letters, m.letters...)
	}
	for i, r := range results {
		e := &b.events[i]
		letter := deadletter.Letter{ID: e.ID, Type: e.Type, ContentType: broker.ContentEvent, Trace: e.TraceParent}
		switch {
		case r.rejected != nil:
			letter.Reason, letter.Detail, letter.SQLState = deadletter.ReasonRejected, r.rejected.Error(), store.SQLState(r.rejected)
		case r.outcome == store.Reused:
			letter.Reason, letter.Detail = deadletter.ReasonIDReused, "the trail holds another event under this event_id or event_key"
		case r.outcome == store.KeyWithoutEvent:
			letter.Reason, letter.Detail = deadletter.ReasonKeyWithoutEvent, "its event_key is kept for an event that is neither in the trail nor in a month that left it"
		default:
			continue
		}
		letter.Body = e.Raw // with its derived id written in, it would be another event to a consumer with another key
		if letter.Body == nil {
			letter.Body = event.AppendWire(nil, e)
		}
		letter.Carried = b.headersOf(i)
		letters = append(letters, letter)
	}
	return letters
}

// deadLetter puts letters on the dead-letter queue, and retries for ever. While the broker would
// lose them it publishes none: counting afterwards would prove nothing, since the new letter may be
// there while another one is lost for it.
func (a *attempt) deadLetter(ctx context.Context, letters []deadletter.Letter) error {
	if len(letters) == 0 {
		return nil
	}
	messages := make([]broker.Message, len(letters))
	for i := range letters {
		messages[i] = letters[i].Message(a.opts.Now())
	}
	retry := a.newRetries(opDeadLetter)
	for {
		err := a.opts.HoldLetters()
		if err == nil {
			err = a.publish(ctx, messages)
		}
		if err == nil {
			retry.succeeded()
			break
		}
		class := store.Transient
		if tooLarge := new(broker.TooLargeError); errors.As(err, &tooLarge) {
			class = store.Trouble // until the broker takes such messages again
		}
		if err := retry.wait(ctx, err, class); err != nil {
			return err
		}
	}
	for i := range letters {
		l := &letters[i]
		a.opts.Metrics.deadLettered.WithLabelValues(l.Reason).Inc()
		a.opts.Logger.WarnContext(ctx, "event dead-lettered", "event_id", messages[i].MessageID, "reason", l.Reason,
			"detail", l.Detail, "sqlstate", l.SQLState, "traceparent", l.Trace)
	}
	return nil
}

func (a *attempt) publish(ctx context.Context, letters []broker.Message) error {
	ctx, span := a.opts.Tracing.startPublish(ctx, a.opts.DeadQueue, len(letters))
	defer span.End()
	err := a.opts.Publisher.Publish(ctx, a.opts.DeadQueue, letters)
	if err != nil {
		tracing.Fail(span, "not_confirmed", err.Error())
	}
	return err
}
