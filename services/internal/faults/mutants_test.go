package faults

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/trailpost/trailpost/services/internal/drain"
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
			if err == nil || store.Classify(err) == store.Data {
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

func (p hastyPublisher) Publish(ctx context.Context, within time.Duration, e *event.Event) error {
	if p.Ready() != nil {
		return p.Publisher.Publish(ctx, within, e)
	}
	mine := cloned([]event.Event{*e})
	go func() { _ = p.Publisher.Publish(context.WithoutCancel(ctx), within, &mine[0]) }()
	return nil
}

func (p hastyPublisher) PublishBatch(ctx context.Context, within time.Duration, events []event.Event) error {
	if p.Ready() != nil {
		return p.Publisher.PublishBatch(ctx, within, events)
	}
	mine := cloned(events)
	go func() { _ = p.Publisher.PublishBatch(context.WithoutCancel(ctx), within, mine) }()
	return nil
}
