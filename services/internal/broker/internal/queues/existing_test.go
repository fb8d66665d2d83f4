package queues_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/consume"
	"github.com/trailpost/trailpost/services/internal/broker/internal/brokertest"
	"github.com/trailpost/trailpost/services/internal/broker/internal/connection"
	"github.com/trailpost/trailpost/services/internal/broker/internal/queues"
	"github.com/trailpost/trailpost/services/internal/broker/publish"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/services/internal/testbed/logs"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// Queues that somebody else has declared, and nobody asks the management API: each confirms what it
// is sent, and some of them lose it.
func TestExistingQueuesThatKeepNothing(t *testing.T) {
	v := testbed.Rabbit(t)
	owner := brokertest.Channel(t, v)
	declare := func(name string, durable, autoDelete bool, arguments amqp.Table) {
		t.Helper()
		if _, err := owner.QueueDeclare(name, durable, autoDelete, false, false, arguments); err != nil {
			t.Fatal(err)
		}
	}
	quorum := amqp.Table{"x-queue-type": "quorum"}
	stream := amqp.Table{"x-queue-type": "stream"}
	retained := amqp.Table{
		"x-queue-type": "stream", "x-max-length-bytes": int64(1e9), "x-max-age": "1D", "x-stream-max-segment-size-bytes": int64(1e6), "x-initial-cluster-size": int32(1),
	}
	users := map[string]testbed.Vhost{"all": v, "some": v.Users(t, map[string]testbed.Rights{"some": {Write: ".*", Read: ".*"}})["some"]}
	const unchecked, partly = "nobody has checked that the queue is durable", "nobody has checked what the queue's arguments"
	for name, c := range map[string]struct {
		durable, autoDelete bool
		arguments           amqp.Table
		dead                amqp.Table
		fault               string // "": none
		consumers           bool   // a consumer that may declare nothing finds it, too
	}{
		"stream":            {durable: true, arguments: stream, dead: quorum, fault: "is a stream", consumers: true},
		"retained_stream":   {durable: true, arguments: retained, dead: quorum, fault: "is a stream", consumers: true},
		"transient":         {dead: quorum, fault: "is not durable"},
		"auto_delete":       {durable: true, autoDelete: true, dead: quorum, fault: "is deleted"},
		"stream_of_letters": {durable: true, arguments: quorum, dead: stream, fault: "is a stream"},
		"ours":              {durable: true, arguments: queues.QueueArguments("ours.dead"), dead: queues.DeadArguments()},
		"classic":           {durable: true, arguments: amqp.Table{"x-max-priority": int32(3), "x-max-length": int64(9)}},
	} {
		t.Run(name, func(t *testing.T) {
			log := new(logs.Buffer)
			settings := func(user string) broker.Config {
				declare(name, c.durable, c.autoDelete, c.arguments) // again: its last consumer may have gone
				declare(broker.DeadQueue(name), true, false, c.dead)
				cfg := brokertest.Config(t, users[user])
				cfg.Queue, cfg.QueueType, cfg.Unwatched = name, broker.Existing, true
				cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
				return cfg
			}
			wants := func(who string, err error, fault, warning string) {
				t.Helper()
				switch {
				case fault == "" && err != nil:
					t.Errorf("%s: %v", who, err)
				case fault != "" && (!errors.Is(err, broker.ErrTopology) || !strings.Contains(err.Error(), fault) || !strings.Contains(err.Error(), "RABBITMQ_QUEUE_TYPE")):
					t.Errorf("%s: got %v, want an ErrTopology: it %s", who, err, fault)
				case fault == "" && !strings.Contains(log.String(), warning):
					t.Errorf("%s: no warning %q in\n%s", who, warning, log.String())
				}
				*log = logs.Buffer{}
			}
			forConsumers := ""
			if c.consumers {
				forConsumers = c.fault
			}
			wants("producer", startPublisher(t, settings("all")), c.fault, partly)
			wants("consumer", startSession(t, settings("all")), c.fault, partly)
			wants("producer without the configure permission", startPublisher(t, settings("some")), "", unchecked)
			wants("consumer without the configure permission", startSession(t, settings("some")), forConsumers, unchecked)
			if !c.consumers {
				accepted := settings("all")
				accepted.AllowLossy = true
				wants("producer that accepts it", startPublisher(t, accepted), "", "level=WARN")
			}
		})
	}
	conn, err := connection.Dial(t.Context(), brokertest.Config(t, v).WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := queues.Examine(conn, "no_such_queue"); !errors.Is(err, queues.ErrUntold) {
		t.Errorf("of a queue that isn't there: %v", err)
	}
	if _, err := brokertest.Channel(t, v).QueueDeclarePassive("no_such_queue", true, false, false, false, nil); err == nil {
		t.Error("the question has made the queue")
	}
}

// startPublisher returns why a publisher gave up, nil once it is connected.
func startPublisher(t *testing.T, cfg broker.Config) error {
	t.Helper()
	p := publish.NewPublisher(cfg, brokertest.Metrics())
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Patience)
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	defer cancel()
	var err error
	ended := false
	brokertest.Eventually(t, "the publisher is connected or gives up", func() bool {
		select {
		case err = <-done:
			ended = true
			return true
		default:
			return p.Ready() == nil
		}
	})
	if !ended {
		cancel()
		<-done
	}
	return err
}

// startSession returns why a worker gave up, nil once it has a session.
func startSession(t *testing.T, cfg broker.Config) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Patience)
	defer cancel()
	s, err := consume.NewSessionOpener(cfg, 10, brokertest.Metrics()).Open(ctx, func(err error) { t.Log(err) })
	if err == nil {
		s.Close()
	}
	return err
}
