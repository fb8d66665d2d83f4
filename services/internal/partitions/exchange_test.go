package partitions

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/partitions/attach"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestExchangeBesideOthers: while many late events go into their month, readers find each once and
// all of them, at every moment, by id and by counting, and a writer that sends them again and again
// is told that they are duplicates.
func TestExchangeBesideOthers(t *testing.T) {
	exchanging(t)
	sliceRows = 200
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 500)
	s := open(t, db, Options{})
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	w := writer(t, db)
	batch := func() []event.Event {
		events := make([]event.Event, 50)
		for i := range events {
			events[i] = late(m.Start().Add(rand.N(27 * day)))
			if i%5 == 0 {
				events[i] = late(m.Start().AddDate(100, 0, 0)) // stays in the default partition
			}
			events[i].Type = "late"
		}
		return events
	}
	var (
		mu    sync.Mutex
		known []event.Event // that are stored
		sent  atomic.Int64
	)
	add := func(w *store.Writer) {
		events := batch()
		sent.Add(int64(len(events)))
		if _, err := w.Store(t.Context(), events, false); err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		known = append(known, events...)
	}
	some := func() ([]event.Event, int64) {
		mu.Lock()
		defer mu.Unlock()
		n := len(known) / 50
		at := 50 * rand.N(n)
		return known[at : at+50], int64(len(known))
	}
	for range 40 {
		add(w)
	}

	ctx, stop := context.WithCancel(t.Context())
	var others sync.WaitGroup
	var looks, resent atomic.Int64
	others.Go(func() { // new ones, for the whole time
		w := writer(t, db)
		for ctx.Err() == nil {
			add(w)
			_ = pause(ctx, 100*time.Millisecond)
		}
	})
	for _, redelivered := range []bool{true, false} { // the same again, along both ways of the writer
		others.Go(func() {
			w := writer(t, db)
			for ctx.Err() == nil {
				events, _ := some()
				outcomes, err := w.Store(t.Context(), events, redelivered)
				if err != nil {
					t.Error(err)
					return
				}
				for i, o := range outcomes {
					if o != store.Duplicate {
						t.Errorf("%s again: %v", events[i].ID, o)
					}
				}
				resent.Add(1)
			}
		})
	}
	reader := db.Connect(t, db.Reader)
	others.Go(func() {
		for ctx.Err() == nil {
			events, least := some()
			var found, all, distinct int64
			if err := reader.QueryRow(t.Context(), "SELECT count(*) FROM log_events WHERE event_id = ANY ($1)", ids(events)).Scan(&found); err != nil || found != 50 {
				t.Errorf("%d of 50 events are found: %v", found, err)
				return
			}
			err := reader.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT event_id) FROM log_events WHERE event_type = 'late'").Scan(&all, &distinct)
			if most := sent.Load(); err != nil || all < least || all > most || distinct != all {
				t.Errorf("%d events, %d of them distinct, and between %d and %d are stored: %v", all, distinct, least, most, err)
				return
			}
			looks.Add(1)
		}
	})
	await := func() {
		before, then := looks.Load(), resent.Load()
		eventually(t, "the others go on", func() bool { return t.Failed() || looks.Load() > before+5 && resent.Load() > then+5 })
	}
	await()
	done := must[[]attach.Attachment](t)(s.Attach(t.Context(), m))
	await()
	stop()
	others.Wait()
	owner := db.Connect(t, db.Owner)
	if n := value[int64](t, owner, "SELECT count(*) FROM log_events WHERE event_type = 'late'"); n != sent.Load() {
		t.Errorf("%d late events, want %d", n, sent.Load())
	}
	if n := value[int](t, owner, "SELECT count(*) FROM "+m.Table()+" WHERE event_type <> 'late'"); n != 500 {
		t.Errorf("%d events of the month's own, want 500", n)
	}
	if len(done) != 1 || done[0].Late < 1600 || done[0].Duplicates != 0 || len(done[0].Conflicts) != 0 {
		t.Errorf("attached: %+v", done)
	}
	t.Logf("%d events stored, %d batches sent again, %d looks", sent.Load(), resent.Load(), looks.Load())
}

// TestExchangeTakesTheRest: what comes after the last slice was copied is in the trail in the very
// moment of the exchange, before anything is compared.
func TestExchangeTakesTheRest(t *testing.T) {
	exchanging(t)
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 10)
	s, w, reader := open(t, db, Options{}), writer(t, db), db.Connect(t, db.Reader)
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	var rest []event.Event
	exchanged := false
	t.Cleanup(func() { failpoint = func(string) {} })
	failpoint = func(step string) {
		switch step {
		case "copied":
			now := []event.Event{late(m.Start().Add(time.Hour)), late(m.Start().AddDate(100, 0, 0))}
			must[[]store.Outcome](t)(w.Store(t.Context(), now, false))
			rest = append(rest, now...)
		case "exchanged":
			exchanged = true
			if n := value[int](t, reader, "SELECT count(*) FROM log_events WHERE event_id = ANY ($1)", ids(rest)); n != len(rest) {
				t.Errorf("%d of %d events are found", n, len(rest))
			}
			for i, o := range must[[]store.Outcome](t)(w.Store(t.Context(), rest, true)) {
				if o != store.Duplicate {
					t.Errorf("event %d again: %v", i, o)
				}
			}
		}
	}
	must[[]attach.Attachment](t)(s.Attach(t.Context(), m))
	if !exchanged {
		t.Error("there was no exchange")
	}
	if n := value[int](t, reader, "SELECT count(*) FROM log_events"); n != 10+len(rest) {
		t.Errorf("%d events, want %d", n, 10+len(rest))
	}
}

// TestExchangeWaitsForSnapshots: a transaction that has its snapshot, and looks at the trail after
// the exchange, must find what it would have found before.
func TestExchangeWaitsForSnapshots(t *testing.T) {
	exchanging(t)
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 10)
	s, w := open(t, db, Options{Patience: 2 * time.Second}), writer(t, db)
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	event1 := late(m.Start())
	must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{event1}, false))
	report := db.Connect(t, db.Reader)
	run(t, report, "BEGIN ISOLATION LEVEL REPEATABLE READ")
	run(t, report, "SELECT FROM users LIMIT 1")
	if _, err := s.Attach(t.Context(), m); err == nil || !strings.Contains(err.Error(), "older snapshot") || !strings.Contains(err.Error(), db.Reader.Name) {
		t.Errorf("%v, want one that names who has an older snapshot", err)
	}
	if n := value[int](t, report, "SELECT count(*) FROM log_events WHERE event_id = $1", event1.ID); n != 1 {
		t.Errorf("it finds %d of 1 event", n)
	}
	run(t, report, "COMMIT")
	must[[]attach.Attachment](t)(s.Attach(t.Context(), m))
}

// TestExchangeRefusesATakenName, and takes nothing for its own that it has not made.
func TestExchangeRefusesATakenName(t *testing.T) {
	exchanging(t)
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 10)
	owner := db.Connect(t, db.Owner)
	s := open(t, db, Options{})
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	for _, name := range []string{attach.NextDefault, attach.FormerDefault} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, db, Options{})
		run(t, owner, "CREATE TABLE "+name+" (mine int)")
		if _, err := s.Attach(t.Context(), m); err == nil || !strings.Contains(err.Error(), "there is a table "+name) {
			t.Errorf("%v, want one that names %s", err, name)
		}
		run(t, owner, "DROP TABLE "+name)
	}
	must[[]attach.Attachment](t)(s.Attach(t.Context(), m))
}
