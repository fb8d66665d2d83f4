package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/consume"
	"github.com/trailpost/trailpost/services/internal/broker/internal/brokertest"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/services/internal/testbed/logs"
)

func TestALoneEventIsAMessageOfItsOwn(t *testing.T) {
	v := testbed.Rabbit(t)
	p := publisher(t, brokertest.Config(t, v))
	e := brokertest.Event(1)
	e.Type = strings.Repeat("€", 100)
	e.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	if err := send(t, p, &e); err != nil {
		t.Fatal(err)
	}
	all := brokertest.TakeAll(t, v, "log_queue")
	if len(all) != 1 {
		t.Fatalf("%d messages", len(all))
	}
	m := all[0]
	if m.ContentType != "application/json" || m.MessageId != e.ID.String() || m.DeliveryMode != amqp.Persistent ||
		m.AppId != "trailpost" || m.Timestamp.IsZero() || m.CorrelationId != "1" || m.Headers["events"] != int32(1) {
		t.Errorf("properties %+v", m)
	}
	// AMQP's short strings end at 255 bytes; the body has the type whole.
	if m.Type != strings.Repeat("€", 85) {
		t.Errorf("type of %d bytes: %s", len(m.Type), m.Type)
	}
	if string(m.Body) != string(event.AppendWire(nil, &e)) {
		t.Errorf("body %s", m.Body)
	}
}

func TestConcurrentEventsShareMessages(t *testing.T) {
	v := testbed.Rabbit(t)
	p := publisher(t, brokertest.Config(t, v))
	events := brokertest.Events(2000)
	publishAll(t, p, events)
	all := brokertest.TakeAll(t, v, "log_queue")
	brokertest.WantIDs(t, brokertest.IDs(t, all), events)
	if len(all) > len(events)/2 {
		t.Errorf("%d events in %d messages: they did not share", len(events), len(all))
	}
	for _, m := range all {
		if n := m.Headers["events"].(int32); n > broker.DefaultEventsPerMessage {
			t.Errorf("%d events in a message", n)
		}
	}
}

// publishAll publishes each event by a request of its own, 200 at a time.
func publishAll(t *testing.T, p *Publisher, events []event.Event) {
	t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 200)
	for i := range events {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := send(t, p, &events[i]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestABatchIsPublishedWhole(t *testing.T) {
	v := testbed.Rabbit(t)
	p := publisher(t, brokertest.Config(t, v))
	events := brokertest.Events(10_000)
	if err := sendBatch(t, p, events); err != nil {
		t.Fatal(err)
	}
	all := brokertest.TakeAll(t, v, "log_queue")
	brokertest.WantIDs(t, brokertest.IDs(t, all), events)
	if want := (len(events) + 63) / 64; len(all) != want {
		t.Errorf("%d messages, want %d", len(all), want)
	}
}

func TestGroupsStayBelow32KiB(t *testing.T) {
	v := testbed.Rabbit(t)
	p := publisher(t, brokertest.Config(t, v))
	events := brokertest.Events(40)
	for i := range events {
		events[i].Payload = fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("x", 5000))
	}
	events[7].Payload = fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("x", 200_000))
	if err := sendBatch(t, p, events); err != nil {
		t.Fatal(err)
	}
	all := brokertest.TakeAll(t, v, "log_queue")
	brokertest.WantIDs(t, brokertest.IDs(t, all), events)
	for _, m := range all {
		if len(m.Body) > maxGroupBytes && m.Headers["events"] != int32(1) {
			t.Errorf("a group of %v events has %d bytes", m.Headers["events"], len(m.Body))
		}
	}
}

func TestOneEventPerMessage(t *testing.T) {
	for name, change := range map[string]func(*broker.Config){
		"by setting":       func(c *broker.Config) { c.EventsPerMessage = 1 },
		"on classic queue": func(c *broker.Config) { c.QueueType = broker.Classic },
	} {
		t.Run(name, func(t *testing.T) {
			v := testbed.Rabbit(t)
			cfg := brokertest.Config(t, v)
			change(&cfg)
			p := publisher(t, cfg)
			events := brokertest.Events(500)
			publishAll(t, p, events[:250])
			if err := sendBatch(t, p, events[250:]); err != nil {
				t.Fatal(err)
			}
			all := brokertest.TakeAll(t, v, "log_queue")
			brokertest.WantIDs(t, brokertest.IDs(t, all), events)
			if len(all) != len(events) {
				t.Errorf("%d messages", len(all))
			}
		})
	}
}

func TestAReturnedMessageIsNoSuccess(t *testing.T) {
	v := testbed.Rabbit(t)
	p := publisher(t, brokertest.Config(t, v))
	if _, err := brokertest.Channel(t, v).QueueDelete("log_queue", false, false, false); err != nil {
		t.Fatal(err)
	}
	e := brokertest.Event(1)
	brokertest.WantError(t, send(t, p, &e), broker.ErrNotConfirmed)
	// It comes back by itself, and makes the queue again.
	brokertest.Eventually(t, "an event is accepted again", func() bool { return send(t, p, &e) == nil })
	brokertest.WantIDs(t, brokertest.IDs(t, brokertest.TakeAll(t, v, "log_queue")), []event.Event{e})
}

func TestABatchOfWhichAGroupIsReturnedFails(t *testing.T) {
	v := testbed.Rabbit(t)
	p := publisher(t, brokertest.Config(t, v))
	if _, err := brokertest.Channel(t, v).QueueDelete("log_queue", false, false, false); err != nil {
		t.Fatal(err)
	}
	brokertest.WantError(t, sendBatch(t, p, brokertest.Events(5000)), broker.ErrNotConfirmed)
}

func TestAFullQueueIsNoSuccess(t *testing.T) {
	v := testbed.Rabbit(t)
	p := publisher(t, brokertest.Config(t, v))
	if out, err := v.Ctl(t.Context(), "set_policy", "full", "^log_queue$", `{"max-length":3}`, "--apply-to", "queues"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := p.Refused(); err != nil {
		t.Errorf("before: %v", err)
	}
	var err error
	brokertest.Eventually(t, "the broker refuses a message", func() bool {
		e := brokertest.Event(1)
		err = send(t, p, &e)
		return err != nil
	})
	brokertest.WantError(t, err, broker.ErrNotConfirmed)
	if !strings.Contains(err.Error(), "full") {
		t.Errorf("the error does not say what to look for: %v", err)
	}
	if err := p.Ready(); err != nil {
		t.Errorf("a nack cost the connection: %v", err)
	}
	if err := p.Refused(); !errors.Is(err, broker.ErrRefused) {
		t.Errorf("what the broker said last: %v", err)
	}
	if out, err := v.Ctl(t.Context(), "purge_queue", "log_queue"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	brokertest.Eventually(t, "the broker takes a message", func() bool {
		e := brokertest.Event(1)
		return send(t, p, &e) == nil
	})
	if err := p.Refused(); err != nil {
		t.Errorf("after: %v", err)
	}
}

// publisherOfAFullQueue returns a publisher that the broker has refused, and how to publish by it.
func publisherOfAFullQueue(t *testing.T, v testbed.Vhost, cfg broker.Config, refusalLimit time.Duration) (p *Publisher, publish func() error) {
	t.Helper()
	p = publisher(t, cfg, func(p *Publisher) { p.refusalLimit = refusalLimit })
	publish = func() error {
		e := brokertest.Event(1)
		return send(t, p, &e)
	}
	if out, err := v.Ctl(t.Context(), "set_policy", "full", "^log_queue$", `{"max-length":3}`, "--apply-to", "queues"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	brokertest.Eventually(t, "the broker refuses a message", func() bool { return publish() != nil })
	return p, publish
}

// A queue whose limit is lifted takes messages again, though RabbitMQ goes on refusing
// them on the channels that it refused before.
func TestAQueueThatIsNoLongerFull(t *testing.T) {
	v := testbed.Rabbit(t)
	_, publish := publisherOfAFullQueue(t, v, brokertest.Config(t, v), 200*time.Millisecond)
	if out, err := v.Ctl(t.Context(), "clear_policy", "full"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	brokertest.Eventually(t, "the broker takes messages again", func() bool { return publish() == nil })
}

// While the queue is full the publisher asks again and again, is ready all the while, as every
// replica is, and knows why events are refused.
func TestAFullQueueLeavesThePublisherReady(t *testing.T) {
	v := testbed.Rabbit(t)
	log := new(logs.Buffer)
	cfg := brokertest.Config(t, v)
	cfg.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p, publish := publisherOfAFullQueue(t, v, cfg, 50*time.Millisecond)
	done := make(chan struct{})
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				// What the old channel still held is not answered by the end of a connection.
				if err := publish(); err != nil && !errors.Is(err, broker.ErrRefused) {
					t.Errorf("while the queue is full: %v", err)
				}
			}
		})
	}
	deadline := time.Now().Add(brokertest.Patience)
	for strings.Count(log.String(), "another channel asks") < 5 {
		if err := p.Ready(); err != nil || !p.connected() {
			t.Errorf("not ready: %v", err)
			break
		}
		if err := p.Refused(); !errors.Is(err, broker.ErrRefused) {
			t.Errorf("the broker's last word: %v", err)
			break
		}
		if time.Now().After(deadline) {
			t.Error("it never asked again")
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	close(done)
	clients.Wait()
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || strings.Contains(text, "level=ERROR") || strings.Count(text, "connected to rabbitmq") != 1 {
		t.Errorf("one connection and one warning were to be logged:\n%s", text)
	}
}

func TestPublisherWaitsForNobodyWhileTheBrokerIsAway(t *testing.T) {
	cfg := broker.Config{Host: "127.0.0.1", Port: 1, Queue: "log_queue"}
	p := NewPublisher(cfg, brokertest.Metrics())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	e := brokertest.Event(1)
	brokertest.WantError(t, send(t, p, &e), broker.ErrUnavailable)
	brokertest.WantError(t, sendBatch(t, p, brokertest.Events(2)), broker.ErrUnavailable)
	brokertest.Eventually(t, "the reason is known", func() bool { return strings.Contains(p.Ready().Error(), "connect") })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAWrongPasswordIsSaid(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := brokertest.Config(t, v)
	cfg.Password = "secret-and-wrong"
	p := NewPublisher(cfg, brokertest.Metrics())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = p.Run(ctx) }()
	brokertest.Eventually(t, "the reason is known", func() bool { return strings.Contains(p.Ready().Error(), "log in to rabbitmq") })
	if strings.Contains(p.Ready().Error(), cfg.Password) {
		t.Error("the error shows the password")
	}
}

func TestAMismatchNamesTheSetting(t *testing.T) {
	v := testbed.Rabbit(t)
	// What the Python service declares.
	if _, err := brokertest.Channel(t, v).QueueDeclare("log_queue", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	cfg := brokertest.Config(t, v)
	err := NewPublisher(cfg, brokertest.Metrics()).Run(t.Context())
	brokertest.WantError(t, err, broker.ErrTopology)
	if !strings.Contains(err.Error(), "RABBITMQ_QUEUE_TYPE") {
		t.Error(err)
	}
	_, err = consume.NewSessionOpener(cfg, 10, brokertest.Metrics()).Open(t.Context(), func(error) {})
	brokertest.WantError(t, err, broker.ErrTopology)

	cfg.QueueType = broker.Classic
	publisher(t, cfg)
}

func TestTheOriginalCanDeclareOurClassicQueue(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := brokertest.Config(t, v)
	cfg.QueueType = broker.Classic
	publisher(t, cfg)
	if _, err := brokertest.Channel(t, v).QueueDeclare("log_queue", true, false, false, false, nil); err != nil {
		t.Error(err)
	}
}

func TestExistingDeclaresNothing(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := brokertest.Config(t, v)
	cfg.QueueType = broker.Existing
	p := NewPublisher(cfg, brokertest.Metrics())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	brokertest.Eventually(t, "it says what is missing", func() bool { return strings.Contains(p.Ready().Error(), "log_queue") })
	made := cfg
	made.QueueType = broker.Quorum
	publisher(t, made)
	// Whoever declares may be late.
	brokertest.Eventually(t, "it is connected", func() bool { return p.Ready() == nil })
	e := brokertest.Event(1)
	if err := send(t, p, &e); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAGivenUpRequestIsAnswered(t *testing.T) {
	v := testbed.Rabbit(t)
	p := publisher(t, brokertest.Config(t, v))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	e := brokertest.Event(1)
	err := p.Publish(gone, &e)
	if err != nil && !errors.Is(err, broker.ErrUnavailable) && !errors.Is(err, broker.ErrNotConfirmed) {
		t.Error(err)
	}
	published := err == nil || errors.Is(err, broker.ErrNotConfirmed)
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if on := len(brokertest.TakeAll(t, v, "log_queue")); published != (on == 1) {
		t.Errorf("told %v, and %d messages are on the queue", err, on)
	}
}

func TestCloseWaitsForConfirms(t *testing.T) {
	v := testbed.Rabbit(t)
	p := publisher(t, brokertest.Config(t, v))
	events := brokertest.Events(3000)
	result := make(chan error, 1)
	go func() { result <- sendBatch(t, p, events) }()
	brokertest.Eventually(t, "the batch is under way", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.scheduler.window.published > 0
	})
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	e := brokertest.Event(1)
	brokertest.WantError(t, send(t, p, &e), broker.ErrUnavailable)
	brokertest.WantIDs(t, brokertest.IDs(t, brokertest.TakeAll(t, v, "log_queue")), events)
}

func TestQueueStatus(t *testing.T) {
	v := testbed.Rabbit(t)
	p := publisher(t, brokertest.Config(t, v))
	e := brokertest.Event(1)
	if err := send(t, p, &e); err != nil {
		t.Fatal(err)
	}
	var status broker.QueueStatus
	brokertest.Eventually(t, "the message is counted", func() bool {
		var err error
		if status, err = p.QueueStatus(t.Context()); err != nil {
			t.Fatal(err)
		}
		return status.Messages == 1
	})
	if status.Name != "log_queue" || status.Consumers != 0 {
		t.Errorf("%+v", status)
	}
}

// A stopped broker, an alarm and a restart, on a broker of the test's own.
func TestOutages(t *testing.T) {
	s := testbed.PrivateServers(t)
	v := s.Vhost(t)
	p := publisher(t, brokertest.Config(t, v))
	shown := prometheus.NewRegistry()
	p.Register(shown)
	// shows tells what Prometheus sees.
	shows := func(up, blocked float64) bool {
		families, err := shown.Gather() // in the order of their names
		if err != nil || len(families) != 3 {
			t.Fatal(err, families)
		}
		return families[0].GetMetric()[0].GetGauge().GetValue() == blocked && families[1].GetMetric()[0].GetGauge().GetValue() == up
	}
	if !shows(1, 0) {
		t.Error("a connected publisher does not show it")
	}

	t.Run("alarm", func(t *testing.T) {
		if _, err := s.Rabbit.Ctl(t.Context(), "set_vm_memory_high_watermark", "0"); err != nil {
			t.Fatal(err)
		}
		// The broker says so when it gets the next message.
		e := brokertest.Event(1)
		var err error
		brokertest.Eventually(t, "publishing fails", func() bool {
			start := time.Now()
			err = send(t, p, &e)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("an answer took %s", took)
			}
			return err != nil
		})
		brokertest.WantError(t, err, broker.ErrNotConfirmed)
		brokertest.WantError(t, send(t, p, &e), broker.ErrUnavailable)
		if !strings.Contains(p.Ready().Error(), "blocks publishers") {
			t.Error(p.Ready())
		}
		if !shows(1, 1) {
			t.Error("an alarm is not shown")
		}
		if _, err := s.Rabbit.Ctl(t.Context(), "set_vm_memory_high_watermark", "0.6"); err != nil {
			t.Fatal(err)
		}
		brokertest.Eventually(t, "publishing works again", func() bool { return send(t, p, &e) == nil })
		if !shows(1, 0) {
			t.Error("an alarm that is over is shown")
		}
	})

	t.Run("restart", func(t *testing.T) {
		if err := s.Rabbit.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		brokertest.Eventually(t, "publishing fails", func() bool {
			e := brokertest.Event(1)
			return errors.Is(send(t, p, &e), broker.ErrUnavailable)
		})
		if !shows(0, 0) {
			t.Error("a lost connection is not shown")
		}
		if err := s.Rabbit.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		brokertest.Eventually(t, "publishing works again", func() bool {
			e := brokertest.Event(1)
			return send(t, p, &e) == nil
		})
	})
}
