package pipeline

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
)

// Rows counts rows of the trail.
func (s *Pipeline) Rows(where string, args ...any) (n int) {
	s.T.Helper()
	if where == "" {
		where = "true"
	}
	if err := s.Reader.QueryRow(context.Background(), "SELECT count(*) FROM log_events WHERE "+where, args...).Scan(&n); err != nil {
		s.T.Fatal(err)
	}
	return n
}

// WaitRows waits for n rows, and wants no more.
func (s *Pipeline) WaitRows(n int) {
	s.T.Helper()
	var got int
	defer func() {
		if s.T.Failed() {
			s.T.Logf("%d rows", got)
		}
	}()
	Eventually(s.T, fmt.Sprintf("%d rows", n), func() bool {
		got = s.Rows("")
		return got >= n
	})
	if got != n {
		s.T.Fatalf("%d rows, want %d", got, n)
	}
}

// Letters lists the dead events that nobody else holds.
func (s *Pipeline) Letters() []deadletter.Entry {
	s.T.Helper()
	var all []deadletter.Entry
	err := deadletter.List(context.Background(), s.Broker(), event.Key{}, func(e deadletter.Entry) error {
		all = append(all, e)
		return nil
	})
	if err != nil && !errors.Is(err, deadletter.ErrOthers) {
		s.T.Fatal(err)
	}
	return all
}

// WaitLetters waits for n dead letters, and wants no more.
func (s *Pipeline) WaitLetters(n int) []deadletter.Entry {
	s.T.Helper()
	var all []deadletter.Entry
	Eventually(s.T, fmt.Sprintf("%d dead letters", n), func() bool {
		all = s.Letters()
		return len(all) >= n
	})
	if len(all) != n {
		s.T.Fatalf("%d dead letters, want %d: %+v", len(all), n, all)
	}
	return all
}

// Replay replays dead letters, and returns what was done with each of their events.
func (s *Pipeline) Replay(opts deadletter.ReplayOptions) []deadletter.Replayed {
	s.T.Helper()
	var all []deadletter.Replayed
	err := deadletter.Replay(context.Background(), s.Broker(), opts, func(r deadletter.Replayed) error {
		all = append(all, r)
		return nil
	})
	if err != nil {
		s.T.Fatal(err)
	}
	return all
}

// Publish puts a message on the queue as another program would.
func (s *Pipeline) Publish(p amqp.Publishing) {
	s.T.Helper()
	conn, err := amqp.Dial(s.Vhost.URL())
	if err != nil {
		s.T.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		s.T.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		s.T.Fatal(err)
	}
	p.DeliveryMode = amqp.Persistent
	confirm, err := ch.PublishWithDeferredConfirm("", "log_queue", true, false, p)
	if err != nil || !confirm.Wait() {
		s.T.Fatal("not confirmed", err)
	}
}
