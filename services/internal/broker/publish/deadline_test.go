package publish

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/brokertest"
)

// When time is up, an event that no group has taken is withdrawn, and of one that was published
// nothing is known.
func TestTimeIsUp(t *testing.T) {
	for name, publish := range map[string]func(*testing.T, *Publisher) error{
		"event, by the publisher's own limit": func(t *testing.T, p *Publisher) error {
			p.cfg.RequestTimeout = time.Second
			e := brokertest.Event(1)
			return p.Publish(t.Context(), &e)
		},
		"batch, by the publisher's own limit": func(t *testing.T, p *Publisher) error {
			p.cfg.RequestTimeout = time.Second
			return p.PublishBatch(t.Context(), brokertest.Events(3))
		},
		"event": func(t *testing.T, p *Publisher) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			e := brokertest.Event(1)
			return p.Publish(ctx, &e)
		},
		"batch": func(t *testing.T, p *Publisher) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return p.PublishBatch(ctx, brokertest.Events(3))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := NewPublisher(broker.Config{Queue: "q"}, brokertest.Metrics())
				p.session = new(session)
				start := time.Now()
				if err := publish(t, p); !errors.Is(err, broker.ErrUnavailable) || errors.Is(err, broker.ErrNotConfirmed) {
					t.Errorf("not published: %v", err)
				}
				if took := time.Since(start); took != time.Second {
					t.Errorf("answered after %s", took)
				}
				if p.next().send != nil {
					t.Error("it is published after its answer")
				}
				answer := make(chan error, 1)
				go func() { answer <- publish(t, p) }()
				synctest.Wait()
				if p.next().send == nil {
					t.Fatal("nothing is published")
				}
				if err := <-answer; !errors.Is(err, broker.ErrNotConfirmed) {
					t.Errorf("published: %v", err)
				}
			})
		})
	}
}
