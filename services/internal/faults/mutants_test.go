package faults

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/drain"
	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/ingest"
	"github.com/trailpost/trailpost/services/internal/store"
)

// mutant is a service that breaks a promise on purpose: what it has for a store or for a
// publisher stands in for the product's, around which it is built.
type mutant struct {
	name      string
	store     func(s drain.Store, database store.Config) drain.Store
	publisher func(ingest.Publisher) ingest.Publisher
	scene     *scene // that brings it to light
}

var mutants = []mutant{
	{name: "acks before it commits", scene: &killedBeforeCommit,
		store: func(s drain.Store, _ store.Config) drain.Store { return &hastyStore{inner: s, idle: closed()} }},
	{name: "answers 202 before the confirm", scene: &killedBeforeConfirm,
		publisher: func(p ingest.Publisher) ingest.Publisher { return hastyPublisher{p} }},
	{name: "takes rows that are there for durable", scene: &failedOverAfterCrash,
		store: func(s drain.Store, database store.Config) drain.Store { return trustingStore{s, database} }},
	{name: "takes a cancelled COMMIT for done", scene: &failedOverAfterCancel,
		store: func(s drain.Store, _ store.Config) drain.Store { return deafStore{s} }},
}

// mutantNamed returns the mutant; the one that changes nothing for any other name.
func mutantNamed(name string) mutant {
	i := slices.IndexFunc(mutants, func(m mutant) bool { return m.name == name })
	if i < 0 {
		return mutant{}
	}
	return mutants[i]
}

// hastyStore says that events are stored, and then stores them, one batch after the other.
type hastyStore struct {
	inner drain.Store
	idle  chan struct{} // closed when nothing is left to store
}

func closed() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (s *hastyStore) Store(_ context.Context, events []event.Event, redelivered bool) ([]store.Outcome, error) {
	events = cloned(events)
	before, idle := s.idle, make(chan struct{})
	s.idle = idle
	go func() {
		defer close(idle)
		<-before
		for {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			_, err := s.inner.Store(ctx, events, redelivered)
			cancel()
			if err == nil || store.Classify(err) == store.Rejected {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	return make([]store.Outcome, len(events)), nil // all Stored
}

func (s *hastyStore) Close(ctx context.Context) error {
	select {
	case <-s.idle:
		return s.inner.Close(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// trustingStore calls what it sees in the table stored before.
type trustingStore struct {
	inner    drain.Store
	database store.Config
}

func (s trustingStore) Store(ctx context.Context, events []event.Event, redelivered bool) ([]store.Outcome, error) {
	if s.sees(ctx, events) {
		return slices.Repeat([]store.Outcome{store.Duplicate}, len(events)), nil
	}
	return s.inner.Store(ctx, events, redelivered)
}

func (s trustingStore) Close(ctx context.Context) error { return s.inner.Close(ctx) }

func (s trustingStore) sees(ctx context.Context, events []event.Event) bool {
	config, err := s.database.ConnConfig()
	if err != nil {
		return false
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false
	}
	defer conn.Close(ctx)
	ids := make(map[uuid.UUID]bool)
	for i := range events {
		ids[events[i].ID] = true
	}
	var n int
	err = conn.QueryRow(ctx, "SELECT count(*) FROM log_events WHERE event_id::text = ANY($1)", texts(ids)).Scan(&n)
	return err == nil && n == len(ids)
}

func texts(ids map[uuid.UUID]bool) (all []string) {
	for id := range ids {
		all = append(all, id.String())
	}
	return all
}

// deafStore does not hear that a commit's wait for the standby was cancelled.
type deafStore struct{ inner drain.Store }

func (s deafStore) Store(ctx context.Context, events []event.Event, redelivered bool) ([]store.Outcome, error) {
	outcomes, err := s.inner.Store(ctx, events, redelivered)
	if errors.Is(err, durable.ErrUnconfirmed) {
		return make([]store.Outcome, len(events)), nil // all Stored
	}
	return outcomes, err
}

func (s deafStore) Close(ctx context.Context) error { return s.inner.Close(ctx) }

// cloned are events whose memory is not the caller's, who uses it again.
func cloned(events []event.Event) []event.Event {
	events = slices.Clone(events)
	for i := range events {
		events[i].Payload = bytes.Clone(events[i].Payload)
	}
	return events
}

// hastyPublisher says that events are on the queue when it could put them there.
type hastyPublisher struct{ ingest.Publisher }

func (p hastyPublisher) Publish(ctx context.Context, e *event.Event) error {
	if p.Ready() != nil {
		return p.Publisher.Publish(ctx, e)
	}
	mine := cloned([]event.Event{*e})
	go func() {
		_ = p.Publisher.Publish(context.WithoutCancel(ctx), &mine[0]) // the request's end does not end it
	}()
	return nil
}

func (p hastyPublisher) PublishBatch(ctx context.Context, events []event.Event) error {
	if p.Ready() != nil {
		return p.Publisher.PublishBatch(ctx, events)
	}
	mine := cloned(events)
	go func() {
		_ = p.Publisher.PublishBatch(context.WithoutCancel(ctx), mine)
	}()
	return nil
}
