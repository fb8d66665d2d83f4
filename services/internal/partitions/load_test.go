package partitions

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

var (
	loadRows = flag.Int("partitions.rows", 20_000, "rows of the month that TestDroppingAMonth drops")
	loadRate = flag.Int64("partitions.rate", 5000, "events a second that are stored while TestDroppingAMonth exports and drops; it detaches at full speed")
	loadWait = flag.Duration("partitions.wait", 5*time.Second, "longest that an insert may wait in TestDroppingAMonth; the contract says 1s, on a machine of its own")
)

// TestDroppingAMonth retires a month while writers store, and measures how long they wait.
//
//	go test -run TestDroppingAMonth -v -timeout 60m ./services/internal/partitions -partitions.rows=5000000 -partitions.wait=1s
func TestDroppingAMonth(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	start := time.Now()
	makeMonth(t, db, m, *loadRows)
	size := value[string](t, db.Connect(t, db.Owner), "SELECT pg_size_pretty(pg_total_relation_size($1::regclass))", m.Table())
	t.Logf("%d rows, %s, made in %v", *loadRows, size, time.Since(start).Round(time.Second))
	s := open(t, db, Options{})
	dir := t.TempDir()

	load := startLoad(t, db, 4, 50)
	load.during(t, "nothing else", func() { load.await(t, 200) })
	load.during(t, "detach", func() { must[[]month.Month](t)(s.Detach(t.Context(), year)) })
	load.rate.Store(*loadRate)
	load.during(t, "export", func() { must[[]export.Manifest](t)(s.Export(t.Context(), dir)) })
	load.during(t, "drop", func() { must[[]month.Month](t)(s.Drop(t.Context(), dir)) })
	load.rate.Store(0)
	load.during(t, "nothing else again", func() { load.await(t, 200) })
	stored := load.stop(t)

	owner := db.Connect(t, db.Owner)
	if n := value[int](t, owner, "SELECT count(*) FROM log_events"); n != stored {
		t.Errorf("%d rows, and %d were stored", n, stored)
	}
	if value[bool](t, owner, "SELECT to_regclass($1) IS NOT NULL", m.Table()) {
		t.Errorf("%s is still there", m.Table())
	}
}

// load is writers that store, without a pause or at a rate.
type load struct {
	cancel  context.CancelFunc
	rate    atomic.Int64 // events a second of all writers; 0: as fast as they can
	writers sync.WaitGroup
	stored  atomic.Int64
	batches atomic.Int64
	longest atomic.Int64 // of a batch, in nanoseconds, since it was last reset

	mu    sync.Mutex
	times []time.Duration
}

func startLoad(t *testing.T, db testbed.DB, writers, batch int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for range writers {
		w := writer(t, db)
		l.writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				events := newEvents(batch, n)
				start := time.Now()
				if _, err := w.Store(context.Background(), events, false); err != nil {
					t.Errorf("a batch failed: %v", err)
					return
				}
				l.note(time.Since(start), batch)
				if rate := l.rate.Load(); rate > 0 { // the writer's share of a second, less what it took
					_ = pause(ctx, time.Duration(batch*writers)*time.Second/time.Duration(rate)-time.Since(start))
				}
			}
		})
	}
	t.Cleanup(func() { cancel(); l.writers.Wait() }) // before the writers are closed
	return l
}

func (l *load) note(took time.Duration, batch int) {
	l.stored.Add(int64(batch))
	l.batches.Add(1)
	for {
		longest := l.longest.Load()
		if int64(took) <= longest || l.longest.CompareAndSwap(longest, int64(took)) {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times = append(l.times, took)
}

// during does f and holds the longest wait meanwhile against the limit.
func (l *load) during(t *testing.T, what string, f func()) {
	t.Helper()
	l.mu.Lock()
	l.times = nil
	l.mu.Unlock()
	l.longest.Store(0)
	start, before := time.Now(), l.stored.Load()
	f()
	took, stored := time.Since(start), l.stored.Load()-before
	longest := time.Duration(l.longest.Load())
	l.mu.Lock()
	times := slices.Clone(l.times)
	l.mu.Unlock()
	slices.Sort(times)
	median, p99 := time.Duration(0), time.Duration(0)
	if n := len(times); n > 0 {
		median, p99 = times[n/2], times[n*99/100]
	}
	t.Logf("%-20s %8v  %7.0f events/s  a batch: median %v, p99 %v, longest %v", what, took.Round(time.Millisecond),
		float64(stored)/took.Seconds(), median.Round(time.Millisecond), p99.Round(time.Millisecond), longest.Round(time.Millisecond))
	if longest > *loadWait {
		t.Errorf("%s: an insert took %v", what, longest)
	}
}

// await waits until so many more batches are stored.
func (l *load) await(t *testing.T, batches int64) {
	t.Helper()
	until := l.batches.Load() + batches
	eventually(t, fmt.Sprintf("%d more batches are stored", batches), func() bool { return l.batches.Load() >= until })
}

func (l *load) stop(t *testing.T) int {
	t.Helper()
	l.cancel()
	l.writers.Wait()
	return int(l.stored.Load())
}

// newEvents makes a batch of events that happen now, of sessions old and new.
func newEvents(count, batch int) []event.Event {
	events := make([]event.Event, count)
	for i := range events {
		now := time.Now().UTC().Truncate(time.Microsecond)
		events[i] = event.Event{
			ID: uuid.Must(uuid.NewV7()), SessionID: int64(1 + (batch*7+i)%5000), Type: "user_action",
			Timestamp: now, ReceivedAt: now, Payload: fmt.Appendf(nil, `{"n": %d, "agent": "VSCode/1.74.0", "text": "what a client sends"}`, i),
		}
	}
	return events
}
