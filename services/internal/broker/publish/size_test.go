package publish

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/broker/internal/brokertest"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// mostBytes sets max_message_size, as rabbitmq.conf would, for channels that are opened from now on
// (3.10), or at once (4).
func mostBytes(t *testing.T, s *testbed.Servers, limit int) {
	t.Helper()
	err := s.Rabbit.Eval(t.Context(), fmt.Sprintf("ok = application:set_env(rabbit, max_message_size, %[1]d), ok = persistent_term:put(max_message_size, %[1]d)", limit))
	if err != nil {
		t.Fatal(err)
	}
}

// reconnect has the broker end all connections, and returns when the publisher has another one.
func reconnect(t *testing.T, s *testbed.Servers, p *Publisher) {
	t.Helper()
	p.mu.Lock()
	former := p.session
	p.mu.Unlock()
	if _, err := s.Rabbit.Ctl(t.Context(), "close_all_connections", "--global", "of a test"); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "there is another connection", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.session != nil && p.session != former
	})
}

func large(n int) event.Event {
	e := brokertest.Event(1)
	e.Payload = fmt.Appendf(nil, `{"text":"%s"}`, strings.Repeat("x", n))
	return e
}

func wantTooLarge(t *testing.T, err error, size, limit, index int) {
	t.Helper()
	var tooLarge *broker.TooLargeError
	if !errors.As(err, &tooLarge) {
		t.Fatalf("got %v, want a TooLargeError", err)
	}
	if tooLarge.Size < size || tooLarge.Size > size+500 || tooLarge.Limit != limit || tooLarge.Index != index {
		t.Errorf("got %+v, want about %d of %d for event %d", tooLarge, size, limit, index)
	}
}

// TestMaxMessageSize: an event that is too large for the broker is refused, and nobody else is.
func TestMaxMessageSize(t *testing.T) {
	const limit = 64 << 10
	s := testbed.PrivateServers(t)
	mostBytes(t, s, limit)
	v := s.Vhost(t)
	p := publisher(t, brokertest.Config(t, v))
	session := p.session

	t.Run("others are published", func(t *testing.T) {
		var (
			wg   sync.WaitGroup
			over atomic.Bool
			sent atomic.Int64
		)
		for n := range 40 {
			wg.Go(func() {
				for !over.Load() {
					var err error
					if n%4 == 0 {
						err = sendBatch(t, p, brokertest.Events(200))
						sent.Add(200)
					} else {
						e := brokertest.Event(1)
						err = send(t, p, &e)
						sent.Add(1)
					}
					if err != nil {
						t.Errorf("another's: %v", err)
					}
				}
			})
		}
		for range 5 {
			before := sent.Load()
			brokertest.Eventually(t, "others publish", func() bool { return sent.Load() > before+1000 })
			e := large(100_000)
			wantTooLarge(t, send(t, p, &e), 100_000, limit, 0)
		}
		over.Store(true)
		wg.Wait()
		if found := brokertest.IDs(t, brokertest.TakeAll(t, v, "log_queue")); int64(len(found)) != sent.Load() {
			t.Errorf("%d events are on the queue, want %d", len(found), sent.Load())
		}
		if p.session != session {
			t.Error("the connection is another one")
		}
	})

	t.Run("a batch", func(t *testing.T) {
		events := brokertest.Events(300)
		events[270] = large(100_000)
		err := sendBatch(t, p, events)
		wantTooLarge(t, err, 100_000, limit, 270)
		if errors.Is(err, broker.ErrNotConfirmed) {
			t.Errorf("the limit was known, and yet: %v", err)
		}
		if n := len(brokertest.TakeAll(t, v, "log_queue")); n != 0 {
			t.Errorf("%d messages of it were published", n)
		}
		reconnect(t, s, p) // which forgets the limit
		err = sendBatch(t, p, events)
		wantTooLarge(t, err, 100_000, limit, 270)
		brokertest.WantError(t, err, broker.ErrNotConfirmed) // the beginning was published
		brokertest.TakeAll(t, v, "log_queue")
	})

	t.Run("groups", func(t *testing.T) {
		mostBytes(t, s, 8<<10)
		reconnect(t, s, p)
		events := brokertest.Events(200)
		for i := range events {
			events[i].Payload = large(1500).Payload
		}
		// The first group is too large, and all of its events are published in smaller ones.
		if err := sendBatch(t, p, events); err != nil {
			t.Fatal(err)
		}
		all := brokertest.TakeAll(t, v, "log_queue")
		found := brokertest.IDs(t, all)
		for i := range events {
			if found[events[i].ID] == 0 {
				t.Errorf("event %d is not on the queue", i)
			}
		}
		for _, m := range all {
			if len(m.Body) > 8<<10 {
				t.Errorf("a group of %d bytes", len(m.Body))
			}
		}
		e := large(8 << 10)
		wantTooLarge(t, send(t, p, &e), 8<<10, 8<<10, 0)
	})

	t.Run("the next connection", func(t *testing.T) {
		mostBytes(t, s, 1<<20)
		reconnect(t, s, p)
		e := large(100_000)
		if err := send(t, p, &e); err != nil {
			t.Error(err)
		}
	})

	t.Run("dead letters", func(t *testing.T) { testConfirmingPublisherSize(t, s) })
}

// testConfirmingPublisherSize: a confirming publisher learns the limit, too, and says which message
// it can't publish.
func testConfirmingPublisherSize(t *testing.T, s *testbed.Servers) {
	const limit = 64 << 10
	mostBytes(t, s, limit)
	v := s.Vhost(t)
	o := admin.NewConfirmingPublisher(brokertest.Config(t, v))
	defer o.Close()
	small, big := broker.Message{Body: []byte("{}")}, broker.Message{Body: make([]byte, limit+1)}
	if err := o.Fits([]broker.Message{big}); err != nil {
		t.Errorf("nobody has told of a limit yet: %v", err)
	}
	for range 2 {
		wantTooLarge(t, o.Publish(t.Context(), "log_queue.dead", []broker.Message{small, big}), limit+1, limit, 0)
		wantTooLarge(t, o.Fits([]broker.Message{small}, []broker.Message{big}), limit+1, limit, 0)
		if err := o.Publish(t.Context(), "log_queue.dead", []broker.Message{small}); err != nil {
			t.Error(err)
		}
	}
	if n := len(brokertest.TakeAll(t, v, "log_queue.dead")); n < 2 || n > 3 { // the first may have been taken before the large one
		t.Errorf("%d messages", n)
	}
	mostBytes(t, s, 1<<20)
	if _, err := s.Rabbit.Ctl(t.Context(), "close_all_connections", "--global", "of a test"); err != nil {
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the limit is forgotten with the connection", func() bool {
		return o.Publish(t.Context(), "log_queue.dead", []broker.Message{big}) == nil
	})
}
