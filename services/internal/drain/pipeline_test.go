package drain

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/store"
)

// stream is a session whose messages come when a test sends them.
type stream struct {
	deliveries chan broker.Delivery
	acks       chan uint64
	lost       chan struct{}
}

func newStream() *stream {
	return &stream{deliveries: make(chan broker.Delivery, 16), acks: make(chan uint64, 16), lost: make(chan struct{})}
}

func (s *stream) Receive(ctx context.Context, wait time.Duration) (d broker.Delivery, ok bool, err error) {
	var timeout <-chan time.Time
	if wait >= 0 {
		timeout = time.After(wait)
	}
	select {
	case d = <-s.deliveries:
		return d, true, nil
	case <-s.lost:
		return d, false, broker.ErrSessionLost
	case <-timeout:
	case <-ctx.Done():
	}
	return d, false, nil
}

func (*stream) ObserveSize(int) error { return nil }

func (s *stream) Ack(tag uint64, _ int) error {
	s.acks <- tag
	return nil
}

func (*stream) Why() error { return nil }

func (s *stream) Lost() bool {
	select {
	case <-s.lost:
		return true
	default:
		return false
	}
}

func (*stream) Close() {}

// slowStore takes a second a batch.
type slowStore struct {
	mu      sync.Mutex
	batches []int // events
}

func (s *slowStore) Store(_ context.Context, events []event.Event, _ bool) ([]store.Outcome, error) {
	s.mu.Lock()
	s.batches = append(s.batches, len(events))
	s.mu.Unlock()
	time.Sleep(time.Second)
	return make([]store.Outcome, len(events)), nil
}

func (s *slowStore) wantBatches(t *testing.T, events ...int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.batches, events) {
		t.Errorf("batches of %v events, want %v", s.batches, events)
	}
}

func (*slowStore) Close(context.Context) error { return nil }

// drainStream has a worker drain a stream as long as test runs, by a clock of its own.
func drainStream(t *testing.T, size int, test func(s *stream, stored *slowStore)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, stored, health := newStream(), new(slowStore), NewHealth()
		w := NewWorker(Options{
			Open: func(ctx context.Context, _ func(error)) (Session, error) {
				if s.Lost() {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return s, nil
			},
			Store: stored, BatchSize: size, Linger: 2 * time.Millisecond, RetryDelay: time.Second, Grace: time.Minute,
			Health: health, Metrics: NewMetrics(prometheus.NewRegistry(), health), Logger: slog.New(slog.DiscardHandler),
			Now: func() time.Time { return noon },
		})
		take, stop := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- w.Run(take, context.Background()) }()
		test(s, stored)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestTheNextBatchIsCollectedWhileOneIsStored(t *testing.T) {
	drainStream(t, 10, func(s *stream, stored *slowStore) {
		s.deliveries <- delivery(1, 1, 0)
		time.Sleep(500 * time.Millisecond) // it is being stored
		for tag := range uint64(3) {
			s.deliveries <- delivery(2+tag, 1, 0)
			time.Sleep(100 * time.Millisecond) // 50 lingers
		}
		synctest.Wait()
		if n := len(s.deliveries); n != 0 {
			t.Errorf("%d messages are not taken while a batch is stored", n)
		}
		time.Sleep(2 * time.Second)
		stored.wantBatches(t, 1, 3)
	})
}

// No message comes that would wake the worker.
func TestABatchIsAckedAsSoonAsItIsStored(t *testing.T) {
	drainStream(t, 10, func(s *stream, _ *slowStore) {
		start := time.Now()
		s.deliveries <- delivery(1, 1, 0)
		if tag := <-s.acks; tag != 1 || time.Since(start) != time.Second+2*time.Millisecond {
			t.Errorf("tag %d was acked after %s", tag, time.Since(start))
		}
	})
}

func TestABatchThatIsFullWaitsForTheOneBefore(t *testing.T) {
	drainStream(t, 2, func(s *stream, _ *slowStore) {
		for tag := range uint64(6) {
			s.deliveries <- delivery(1+tag, 1, 0)
		}
		time.Sleep(500 * time.Millisecond)
		if n := len(s.deliveries); n != 2 {
			t.Errorf("%d messages are left while one batch is stored and one is full, want 2", n)
		}
		for _, want := range []uint64{2, 4, 6} {
			if tag := <-s.acks; tag != want {
				t.Errorf("tag %d was acked, want %d", tag, want)
			}
		}
	})
}

// What is taken when the worker is told to end is stored and acked.
func TestBothBatchesInHandAreFinished(t *testing.T) {
	var drained *stream
	drainStream(t, 10, func(s *stream, _ *slowStore) {
		drained = s
		s.deliveries <- delivery(1, 1, 0)
		time.Sleep(500 * time.Millisecond)
		s.deliveries <- delivery(2, 1, 0)
		synctest.Wait()
	})
	if len(drained.acks) != 2 {
		t.Errorf("%d acks, want 2", len(drained.acks))
	}
}

// The store has one connection: the session that follows must not find a batch on it.
func TestALostSessionWaitsForItsBatch(t *testing.T) {
	drainStream(t, 10, func(s *stream, stored *slowStore) {
		s.deliveries <- delivery(1, 1, 0)
		time.Sleep(500 * time.Millisecond)
		close(s.lost)
		time.Sleep(time.Minute)
		if len(s.acks) != 0 {
			t.Error("a batch was acked on a lost session")
		}
		stored.wantBatches(t, 1)
	})
}
