package drain

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/store"
)

// rejectedPayload is the payload of an event that the model's trail can't hold.
const rejectedPayload = `{"rejected":true}`

// modelStore is a Store on the model's trail.
type modelStore struct{ *process }

func (s modelStore) Store(ctx context.Context, events []event.Event, _ bool) ([]store.Outcome, error) {
	s.enter(len(events))
	outcomes, err := s.try(ctx, events)
	s.leave(err)
	return outcomes, err
}

func (s modelStore) try(ctx context.Context, events []event.Event) ([]store.Outcome, error) {
	switch f := s.step("store"); f {
	case refuse, half: // a transaction has no half
		return nil, &pgconn.PgError{Code: "57P01"}
	case trouble:
		return nil, &pgconn.PgError{Code: "42501"}
	case hang:
		<-ctx.Done()
		return nil, ctx.Err()
	case abort:
		return nil, ctx.Err()
	default:
		outcomes, err := s.commit(events)
		s.after(f)
		if err == nil && (f == late || f == abortLate) {
			return nil, &pgconn.PgError{Code: "08006"}
		}
		return outcomes, err
	}
}

func (s modelStore) enter(events int) {
	s.live()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.storing:
		s.breaks("two transactions at once on one connection")
	case s.closed:
		s.breaks("a transaction on a closed store")
	case events == 0:
		s.breaks("a transaction of nothing")
	case s.failed && s.session.known:
		s.breaks("a batch is tried again for a session that is lost")
	}
	s.storing = true
}

func (s modelStore) leave(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.storing = false
	s.failed = err != nil && store.Classify(err) != store.Rejected
}

// commit stores all or, for one event's fault, none.
func (s modelStore) commit(events []event.Event) ([]store.Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range events {
		if bytes.Equal(events[i].Payload, []byte(rejectedPayload)) {
			return nil, &pgconn.PgError{Code: "22P02", Message: "rejected"}
		}
	}
	outcomes := make([]store.Outcome, len(events))
	for i := range events {
		content := string(event.AppendWire(nil, &events[i]))
		there, found := s.rows[events[i].ID]
		switch {
		case !found:
			s.rows[events[i].ID] = content
			outcomes[i] = store.Stored
		case there == content:
			outcomes[i] = store.Duplicate
		default:
			outcomes[i] = store.Reused
		}
	}
	return outcomes, nil
}

func (s modelStore) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.breaks("a store is closed twice")
	}
	s.closed = true
	return nil
}

// modelPublisher publishes to the model's dead-letter queue.
type modelPublisher struct{ *process }

// letterKey is by what the model knows a dead letter.
func letterKey(reason string, body []byte) string { return reason + " " + string(body) }

func (p modelPublisher) Publish(ctx context.Context, queue string, messages []broker.Message) error {
	f := p.step("dead-letter")
	n := len(messages)
	switch f {
	case refuse, trouble, abort:
		n = 0
	case half, hang:
		n /= 2
	}
	p.mu.Lock()
	if queue != "dead" || len(messages) == 0 {
		p.breaks("%d messages to %q", len(messages), queue)
	}
	for _, m := range messages[:n] {
		p.letters[letterKey(fmt.Sprint(m.Headers[deadletter.HeaderReason]), m.Body)]++
	}
	p.mu.Unlock()
	p.after(f)
	switch f {
	case hang:
		sleep(ctx, 10*time.Second) // the real one's time limit
		return errModel
	case refuse, trouble, half, late:
		return errModel
	case abort, abortLate:
		return ctx.Err()
	}
	return nil
}
