package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// When time is up, an event that no group has taken is withdrawn, and of one that was published nothing is known.
func TestTimeIsUp(t *testing.T) {
	for name, publish := range map[string]func(*testing.T, *Publisher) error{
		"event": func(t *testing.T, p *Publisher) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			e := testEvent(1)
			return p.Publish(ctx, &e)
		},
		"batch": func(t *testing.T, p *Publisher) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			return p.PublishBatch(ctx, testEvents(3))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := NewPublisher(Config{Queue: "q"}, metrics())
				p.session = new(publisherSession)
				start := time.Now()
				if err := publish(t, p); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNotConfirmed) {
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
				if err := <-answer; !errors.Is(err, ErrNotConfirmed) {
					t.Errorf("published: %v", err)
				}
			})
		})
	}
}
