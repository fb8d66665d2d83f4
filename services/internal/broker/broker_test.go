package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

const patience = 60 * time.Second // of a test for what takes milliseconds

// send publishes an event, for as long as a test has patience.
func send(t *testing.T, p *Publisher, e *event.Event) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return p.Publish(ctx, e)
}

// sendBatch is send for many.
func sendBatch(t *testing.T, p *Publisher, events []event.Event) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return p.PublishBatch(ctx, events)
}

// config is for a vhost of the test's own.
func config(t *testing.T, v testbed.Vhost) Config {
	t.Helper()
	return Config{
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

func metrics() *Metrics { return NewMetrics(prometheus.NewRegistry(), Publishing) }

// publisher runs until the end of the test, and is connected.
func publisher(t *testing.T, cfg Config) *Publisher {
	t.Helper()
	p := NewPublisher(cfg, metrics())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	eventually(t, "the publisher is connected", func() bool { return p.Ready() == nil })
	return p
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func testEvent(n int) event.Event {
	id := uuid.Must(uuid.NewV7())
	return event.Event{
		ID: id, SessionID: int64(n + 1), Type: "user_action", Timestamp: event.IDTime(id), ReceivedAt: event.IDTime(id),
		Payload: fmt.Appendf(nil, `{"n":%d}`, n),
	}
}

func testEvents(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = testEvent(i)
	}
	return events
}

// channel is a plain client's.
func channel(t *testing.T, v testbed.Vhost) *amqp.Channel {
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

// takeAll takes what is on a queue.
func takeAll(t *testing.T, v testbed.Vhost, queue string) []amqp.Delivery {
	t.Helper()
	ch := channel(t, v)
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

// ids are those of the events in messages.
func ids(t *testing.T, messages []amqp.Delivery) map[uuid.UUID]int {
	t.Helper()
	found := make(map[uuid.UUID]int)
	for _, m := range messages {
		lines := strings.Split(string(m.Body), "\n")
		if want := m.Headers[HeaderEvents]; fmt.Sprint(want) != fmt.Sprint(len(lines)) {
			t.Errorf("the header says %v events, and there are %d lines", want, len(lines))
		}
		if grouped := m.ContentType == ContentGroup; grouped != (len(lines) > 1) {
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

func wantIDs(t *testing.T, found map[uuid.UUID]int, events []event.Event) {
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

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}
