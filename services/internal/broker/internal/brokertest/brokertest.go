// Package brokertest is what the tests of package broker's subpackages share: settings for a vhost
// of the test's own, events, and a plain client that looks at what is on a queue.
package brokertest

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// Patience is how long a test waits for what takes milliseconds.
const Patience = 60 * time.Second

// Config is for a vhost of the test's own.
func Config(t *testing.T, v testbed.Vhost) broker.Config {
	t.Helper()
	return broker.Config{
		Host: v.Host, Port: v.Port, User: v.User, Password: v.Password, VHost: v.Name,
		Queue: "log_queue", Name: t.Name(),
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// testWriter shows the log of a failed test.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil { // t.Log panics after the test
		w.t.Log(strings.TrimSpace(string(p)))
	}
	return len(p), nil
}

// Metrics returns metrics that nobody reads.
func Metrics() *broker.Metrics { return broker.NewMetrics(prometheus.NewRegistry(), broker.Publishing) }

// Eventually waits until something holds.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", Patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Event returns an event of the n-th session.
func Event(n int) event.Event {
	id := uuid.Must(uuid.NewV7())
	return event.Event{
		ID: id, SessionID: int64(n + 1), Type: "user_action", Timestamp: event.IDTime(id), ReceivedAt: event.IDTime(id),
		Payload: fmt.Appendf(nil, `{"n":%d}`, n),
	}
}

// Events returns n events.
func Events(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = Event(i)
	}
	return events
}

// Channel opens a channel of a plain client.
func Channel(t *testing.T, v testbed.Vhost) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(v.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// TakeAll takes what is on a queue.
func TakeAll(t *testing.T, v testbed.Vhost, queue string) []amqp.Delivery {
	t.Helper()
	ch := Channel(t, v)
	var all []amqp.Delivery
	for {
		d, ok, err := ch.Get(queue, true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, d)
	}
}

// IDs are those of the events in messages, and how often each is there.
func IDs(t *testing.T, messages []amqp.Delivery) map[uuid.UUID]int {
	t.Helper()
	found := make(map[uuid.UUID]int)
	for _, m := range messages {
		lines := strings.Split(string(m.Body), "\n")
		if want := m.Headers[broker.HeaderEvents]; fmt.Sprint(want) != fmt.Sprint(len(lines)) {
			t.Errorf("the header says %v events, and there are %d lines", want, len(lines))
		}
		if grouped := m.ContentType == broker.ContentGroup; grouped != (len(lines) > 1) {
			t.Errorf("%d lines as %s", len(lines), m.ContentType)
		}
		for _, line := range lines {
			e, err := event.ParseWire([]byte(line), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			found[e.ID]++
		}
	}
	return found
}

// WantIDs fails unless each event is there once.
func WantIDs(t *testing.T, found map[uuid.UUID]int, events []event.Event) {
	t.Helper()
	for i := range events {
		if n := found[events[i].ID]; n != 1 {
			t.Errorf("event %d is on the queue %d times", i, n)
		}
	}
	if len(found) != len(events) {
		t.Errorf("%d events are on the queue, want %d", len(found), len(events))
	}
}

// WantError fails on another error.
func WantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}
