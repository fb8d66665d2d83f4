package publish

import (
	"context"
	"testing"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/brokertest"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// publisher runs until the end of the test, and is connected.
func publisher(t *testing.T, cfg broker.Config, change ...func(*Publisher)) *Publisher {
	t.Helper()
	p := NewPublisher(cfg, brokertest.Metrics())
	for _, f := range change {
		f(p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	brokertest.Eventually(t, "the publisher is connected", func() bool { return p.Ready() == nil })
	return p
}

// send publishes an event, for as long as a test has patience.
func send(t *testing.T, p *Publisher, e *event.Event) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Patience)
	defer cancel()
	return p.Publish(ctx, e)
}

// sendBatch is send for many.
func sendBatch(t *testing.T, p *Publisher, events []event.Event) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), brokertest.Patience)
	defer cancel()
	return p.PublishBatch(ctx, events)
}
