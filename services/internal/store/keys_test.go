package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// newRecord makes an event with a source, happening now.
func newRecord() event.Event {
	e := newEvent(0, "log")
	e.Source = &event.Source{Name: "in/git", ID: "41"}
	return e
}

// keyed returns the event under a key made from a name, and under an id of the time and the key.
func keyed(e event.Event, name string, at time.Time) event.Event {
	source := *e.Source
	key := sha256.Sum256([]byte(name))
	source.EventKey = key[:]
	e.Source = &source
	e.ID = recordID(at, source.EventKey)
	return e
}

// recordID has a time and the first bits of a key.
func recordID(at time.Time, key []byte) uuid.UUID {
	e := event.Event{Timestamp: at, Source: &event.Source{EventKey: key}}
	return e.OwnTimeID()
}

// TestStoreSources: an event with a source has no session, and touches none, nor any user.
func TestStoreSources(t *testing.T) {
	db := testbed.Postgres(t)
	w, reader := newWriter(t, db), db.Connect(t, db.Reader)
	// Whoever touched a session or a user would wait.
	holder := db.Connect(t, db.Owner)
	exec(t, holder, "BEGIN; LOCK TABLE users, review_sessions IN ACCESS EXCLUSIVE MODE")
	e := newRecord()
	e.Username, e.Type = "x", event.TypeReviewStarted
	bare := newRecord()
	bare.Source.ID = ""
	for _, path := range []Path{PathCopy, PathLook, PathInsert} {
		e.ID, bare.ID = uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
		storeBy(t, w, path, Stored, e, bare)
		storeBy(t, w, path, Duplicate, e, bare)
	}
	exec(t, holder, "ROLLBACK")
	if n := value[int](t, reader, `SELECT count(*) FROM log_events_with_user WHERE source = 'in/git' AND source_id = '41'
		AND username_sent = 'x' AND num_nulls(session_id, session_owner) = 2`); n != 3 {
		t.Errorf("%d are there as they were sent, want 3", n)
	}
	if n := value[int](t, reader, "SELECT count(*) FROM log_events WHERE source_id IS NULL"); n != 3 {
		t.Errorf("%d without an id of their own, want 3", n)
	}
}

// storeBy stores events in a way of its own, and wants one outcome for all.
func storeBy(t *testing.T, w *Writer, path Path, want Outcome, events ...event.Event) {
	t.Helper()
	if err := w.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.path = path
	p := newWritePlan(events, false)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := w.transact(ctx, p)
	if path == PathCopy && want != Stored { // COPY finds out what is there by its failure
		if SQLState(err) != uniqueViolation {
			t.Fatalf("COPY of what is there: %v", err)
		}
		return
	}
	if err != nil || !all(p.outcomes, want) {
		t.Fatalf("%v: %v, %v, want %v", path, p.outcomes, err, want)
	}
}

// TestSameRecord: what is compared of two events with a source and one id.
func TestSameRecord(t *testing.T) {
	db := testbed.Postgres(t)
	w := newWriter(t, db)
	first := newRecord()
	first.Payload = []byte(`{"a":1,"unsigned":{"attempt":1},"_trailpost":{"raw":"x"}}`)
	store(t, w, false, first)
	for name, tc := range map[string]struct {
		change func(*event.Event)
		want   Outcome
	}{
		"nothing":               {func(*event.Event) {}, Duplicate},
		"another attempt":       {func(e *event.Event) { e.Payload = []byte(`{"unsigned":{"attempt":2},"a":1.0}`) }, Duplicate},
		"another release":       {func(e *event.Event) { e.Payload = []byte(`{"_trailpost":[],"a":1}`) }, Duplicate},
		"another payload":       {func(e *event.Event) { e.Payload = []byte(`{"a":2}`) }, Reused},
		"another inner payload": {func(e *event.Event) { e.Payload = []byte(`{"a":1,"b":{"unsigned":1}}`) }, Reused},
		"another source":        {func(e *event.Event) { e.Source.Name = "in/other" }, Reused},
		"another source_id":     {func(e *event.Event) { e.Source.ID = "42" }, Reused},
		"no source_id":          {func(e *event.Event) { e.Source.ID = "" }, Reused},
		"another time":          {func(e *event.Event) { e.Timestamp = e.Timestamp.Add(time.Second) }, Reused},
		"another user":          {func(e *event.Event) { e.Username = "somebody" }, Reused},
		"no source, a session":  {func(e *event.Event) { e.Source, e.SessionID = nil, 1 }, Reused},
		"the same bytes":        {func(e *event.Event) { e.Source.NaturalIDIsBytes, e.Payload = true, []byte(`{"a":3}`) }, Duplicate},
	} {
		for _, redelivered := range []bool{false, true} {
			e := first
			source := *first.Source
			e.Source = &source
			tc.change(&e)
			if got := store(t, w, redelivered, e); got[0] != tc.want {
				t.Errorf("%s, redelivered %v: %v, want %v", name, redelivered, got[0], tc.want)
			}
		}
	}
	// Without a source the two names are the application's own.
	posted := newEvent(1, "user_action")
	posted.Payload = []byte(`{"unsigned":1}`)
	store(t, w, false, posted)
	posted.Payload = []byte(`{"unsigned":2}`)
	if got := store(t, w, false, posted); got[0] != Reused {
		t.Errorf("another payload of POST /log's: %v", got[0])
	}
}

// TestEventKeys: two events of a key are one, whatever their ids are.
func TestEventKeys(t *testing.T) {
	db := testbed.Postgres(t)
	w, reader := newWriter(t, db), db.Connect(t, db.Reader)
	now := time.Now()
	first := keyed(newRecord(), "first", now)
	if got := store(t, w, false, first); got[0] != Stored {
		t.Fatal(got)
	}
	again := keyed(first, "first", now.Add(time.Hour))
	again.Timestamp, again.ReceivedAt = now.Add(time.Hour), now.Add(time.Hour)
	other := again
	other.Payload = []byte(`{"other":true}`)
	bytesOnly := other
	source := *other.Source
	source.NaturalIDIsBytes = true
	bytesOnly.Source = &source
	for _, redelivered := range []bool{false, true} {
		want := []Outcome{Duplicate, Reused, Duplicate, Stored}
		if got := store(t, w, redelivered, again, other, bytesOnly, newEvent(1, "user_action")); !slices.Equal(got, want) {
			t.Errorf("redelivered %v: %v, want %v", redelivered, got, want)
		}
	}

	// The first of a batch is stored, whatever the order of their ids is.
	late, early := keyed(newRecord(), "batch", now.Add(time.Second)), keyed(newRecord(), "batch", now)
	late.Payload, early.Payload = []byte(`{"n":1}`), []byte(`{"n":1,"unsigned":2}`)
	differs := keyed(early, "batch", now.Add(-time.Second))
	differs.Payload = []byte(`{"n":2}`)
	if got, want := store(t, w, false, late, early, differs), []Outcome{Stored, Duplicate, Reused}; !slices.Equal(got, want) {
		t.Errorf("in a batch: %v, want %v", got, want)
	}
	if got := value[uuid.UUID](t, reader, "SELECT event_id FROM log_events JOIN event_keys USING (event_id) WHERE event_key = $1", late.Source.EventKey); got != late.ID {
		t.Errorf("the key is %s's, want %s", got, late.ID)
	}
	if n := rows(t, reader); n != 1+2+1 {
		t.Errorf("%d rows, want 4", n)
	}
}

// TestKeysBesideRepeatedIDs: a batch in which COPY fails over a repeated id loses no key, and takes
// none that its event is not there for.
func TestKeysBesideRepeatedIDs(t *testing.T) {
	db := testbed.Postgres(t)
	w, reader := newWriter(t, db), db.Connect(t, db.Reader)
	posted := newEvent(1, "user_action")
	store(t, w, false, posted)
	one, two := keyed(newRecord(), "one", time.Now()), keyed(newRecord(), "two", time.Now())
	oneAgain := keyed(one, "one", time.Now().Add(time.Second))
	bad := newEvent(1, "user_action")
	bad.Payload = []byte(`{"x":"\u0000"}`)
	if _, err := w.Store(t.Context(), []event.Event{one, bad}, false); Classify(err) != Rejected {
		t.Fatalf("what jsonb refuses: %v", err)
	}
	if n := value[int](t, reader, "SELECT count(*) FROM event_keys"); n != 0 {
		t.Errorf("%d keys without an event", n)
	}
	want := []Outcome{Stored, Duplicate, Duplicate, Stored}
	if got := store(t, w, false, one, posted, oneAgain, two); !slices.Equal(got, want) || w.Path() != PathLook {
		t.Errorf("%v by %v, want %v by %v", got, w.Path(), want, PathLook)
	}
	if n := value[int](t, reader, "SELECT count(*) FROM event_keys JOIN log_events USING (event_id)"); n != 2 {
		t.Errorf("%d keys with an event, want 2", n)
	}
}

// twoAttempts are those of a record that became too old for an id of its own time between them: the
// first has that id and no key, the second a key. changed is the second with another content.
func twoAttempts(name string) (first, second, changed event.Event) {
	second = keyed(newRecord(), name, time.Now())
	second.Timestamp = time.Now().UTC().Add(-40 * 24 * time.Hour).Truncate(time.Microsecond)
	first = second
	source := *second.Source
	source.EventKey = nil
	first.Source, first.ID = &source, second.OwnTimeID()
	changed = second
	changed.Payload = []byte(`{"changed":true}`)
	return first, second, changed
}

// TestRecordThatTurnedOld: a record that was stored under its own time, and is sent again when it
// is too old for such an id.
func TestRecordThatTurnedOld(t *testing.T) {
	db := testbed.Postgres(t)
	w, reader := newWriter(t, db), db.Connect(t, db.Reader)
	first, later, changed := twoAttempts("old")
	store(t, w, false, first)
	for range 2 {
		if got, want := store(t, w, false, later, changed), []Outcome{Duplicate, Reused}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if n := rows(t, reader) + value[int](t, reader, "SELECT count(*) FROM event_keys"); n != 1 {
		t.Errorf("%d rows and keys, want 1", n)
	}
}

// TestKeysOfEventsThatAreAway: where the event of a key has left the trail with its month, a repeat
// is taken for one; where nobody can say where it is, it is not.
func TestKeysOfEventsThatAreAway(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	now := time.Now()
	lastMonth := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC).Add(-time.Hour)
	there, gone := keyed(newRecord(), "there", lastMonth), keyed(newRecord(), "gone", now)
	long := keyed(newRecord(), "long ago", time.Date(2021, 3, 31, 23, 59, 59, 0, time.UTC))
	store(t, w, false, there, gone, long)
	exec(t, owner, "ALTER TABLE log_events DETACH PARTITION log_events_y"+lastMonth.Format("2006m01"))
	exec(t, owner, "DELETE FROM log_events WHERE event_id = ANY ($1)", []uuid.UUID{gone.ID, long.ID})
	exec(t, owner, "INSERT INTO retired_months (month, event_count) VALUES ('2021-03-01', 1)")
	again := []event.Event{keyed(there, "there", now), keyed(gone, "gone", now.Add(time.Second)), keyed(long, "long ago", now), keyed(newRecord(), "new", now)}
	for _, redelivered := range []bool{false, true} {
		want := []Outcome{NotCompared, KeyWithoutEvent, NotCompared, Stored}
		if redelivered {
			want[3] = Duplicate
		}
		if got := store(t, w, redelivered, again...); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

// TestRecordThatTurnsOldInABatch: both attempts in one batch, in either order.
func TestRecordThatTurnsOldInABatch(t *testing.T) {
	db := testbed.Postgres(t)
	w, reader := newWriter(t, db), db.Connect(t, db.Reader)
	for n, redelivered := range []bool{false, true, false, true} {
		first, later, changed := twoAttempts(fmt.Sprint(n))
		batch, want := []event.Event{first, later, changed}, []Outcome{Stored, Duplicate, Reused}
		if n > 1 {
			batch, want = []event.Event{changed, later, first}, []Outcome{Reused, Duplicate, Stored}
		}
		if got := store(t, w, redelivered, batch...); !slices.Equal(got, want) {
			t.Errorf("%d: %v, want %v", n, got, want)
		}
	}
	if n, keys := rows(t, reader), value[int](t, reader, "SELECT count(*) FROM event_keys"); n != 4 || keys != 0 {
		t.Errorf("%d rows and %d keys, want 4 and none", n, keys)
	}
}

// TestRecordWhoseFirstAttemptComesLast: the attempt with a key was stored before the one without, a
// dead letter that was replayed, say.
func TestRecordWhoseFirstAttemptComesLast(t *testing.T) {
	db := testbed.Postgres(t)
	w, reader := newWriter(t, db), db.Connect(t, db.Reader)
	first, later, changed := twoAttempts("old")
	changed.ID, changed.Source = first.ID, first.Source
	store(t, w, false, later)
	for _, redelivered := range []bool{false, true} {
		want := []Outcome{Duplicate, Duplicate, Reused}
		if got := store(t, w, redelivered, first, later, changed); !slices.Equal(got, want) {
			t.Errorf("redelivered %v: %v, want %v", redelivered, got, want)
		}
	}
	if n := rows(t, reader); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// TestKeyWithTheIDOfAnother: no key is kept for an event that is not stored, and whoever has the
// key and a free id is.
func TestKeyWithTheIDOfAnother(t *testing.T) {
	db := testbed.Postgres(t)
	w, reader := newWriter(t, db), db.Connect(t, db.Reader)
	posted := newEvent(1, "user_action")
	store(t, w, false, posted)
	taken := keyed(newRecord(), "key", time.Now())
	taken.ID = posted.ID
	free := keyed(newRecord(), "key", time.Now())
	other := keyed(newRecord(), "other", time.Now())
	for _, events := range [][]event.Event{{taken}, {taken, other}} {
		if got := store(t, w, true, events...); got[0] != Reused {
			t.Errorf("%v", got)
		}
	}
	many := make([]event.Event, 200)
	for n := range many {
		many[n] = taken
	}
	if got := store(t, w, false, many...); !all(got, Reused) {
		t.Errorf("many of one id: %v", got)
	}
	if got, want := store(t, w, false, taken, taken, free, taken, other), []Outcome{Reused, Reused, Stored, Duplicate, Duplicate}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	// The same bytes are another record's, where the source is another.
	taken.Source.NaturalIDIsBytes, taken.Source.EventKey = true, nil
	if got := store(t, w, false, taken); got[0] != Reused {
		t.Errorf("natural_id_is_bytes beside an event of POST /log's: %v", got)
	}
	if n, keys := rows(t, reader), value[int](t, reader, "SELECT count(*) FROM event_keys JOIN log_events USING (event_id)"); n != 3 || keys != 2 {
		t.Errorf("%d rows and %d keys, want 3 and 2", n, keys)
	}
}

// TestKeyWhileAMonthComesBack: the month of a key's event is attached while somebody looks for it.
func TestKeyWhileAMonthComesBack(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	now := time.Now()
	month := time.Date(now.UTC().Year(), now.UTC().Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, -1, 0)
	table := "log_events_y" + month.Format("2006m01")
	there := keyed(newRecord(), "there", month.Add(time.Hour))
	there.Timestamp = now.UTC().Truncate(time.Microsecond) // of the attempt below, which has no other time to be looked for
	store(t, w, false, there)
	exec(t, owner, "ALTER TABLE log_events DETACH PARTITION "+table)
	exec(t, owner, "BEGIN; LOCK TABLE ONLY log_events IN SHARE UPDATE EXCLUSIVE MODE; LOCK TABLE ONLY log_events_default, ONLY "+table+" IN ACCESS EXCLUSIVE MODE")
	exec(t, owner, fmt.Sprintf(`DO $$ BEGIN EXECUTE format('ALTER TABLE log_events ATTACH PARTITION %s FOR VALUES FROM (%%L) TO (%%L)',
		event_id_floor('%s'), event_id_floor('%s')); END $$`, table, month.Format(time.RFC3339), month.AddDate(0, 1, 0).Format(time.RFC3339)))
	got := make(chan []Outcome, 1)
	go func() {
		outcomes, err := w.Store(t.Context(), []event.Event{keyed(there, "there", now)}, false)
		if err != nil {
			t.Error(err)
		}
		got <- outcomes
	}()
	admin := db.Connect(t, db.Admin)
	eventually(t, "the writer waits", func() bool {
		return value[bool](t, admin, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%there.same%')")
	})
	exec(t, owner, "COMMIT")
	if outcomes := <-got; !all(outcomes, Duplicate) {
		t.Errorf("%v, want a duplicate", outcomes)
	}
}

// TestOneRowOfAKey delivers each event to two consumers at once, with ids on both sides of a
// midnight at which a month ends, 10,000 of them: each is one row.
func TestOneRowOfAKey(t *testing.T) {
	const events = 10_000
	db := testbed.Postgres(t)
	now := time.Now().UTC()
	midnight := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	var mu sync.Mutex
	outcomes := map[Outcome]int{}
	var wg sync.WaitGroup
	for side, at := range []time.Time{midnight.Add(-time.Second), midnight.Add(time.Second)} {
		w := newWriter(t, db)
		wg.Go(func() {
			for n := 0; n < events; {
				batch := make([]event.Event, 0, 50)
				for range min(1+rand.IntN(cap(batch)), events-n) {
					record := n
					if side == 1 { // from both ends, so that each side is the first somewhere
						record = events - 1 - n
					}
					e := keyed(newRecord(), fmt.Sprint(record), at)
					e.Timestamp = at.Truncate(time.Microsecond)
					e.Payload = fmt.Appendf(nil, `{"n":%d,"unsigned":%d}`, record, side)
					batch = append(batch, e)
					n++
				}
				got, err := w.Store(t.Context(), shuffled(batch), rand.IntN(2) == 0)
				if Contended(err) { // a deadlock with the other is none of ours: keys are sorted
					t.Errorf("%v", err)
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, o := range got {
					outcomes[o]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if outcomes[Stored] != events || outcomes[Duplicate] != events {
		t.Errorf("outcomes %v, want %d of each of stored and duplicate", outcomes, events)
	}
	reader := db.Connect(t, db.Reader)
	if n, keys := rows(t, reader), value[int](t, reader, "SELECT count(DISTINCT payload->'n') FROM log_events JOIN event_keys USING (event_id)"); n != events || keys != events {
		t.Errorf("%d rows and %d keys with an event, want %d", n, keys, events)
	}
	sides := value[int](t, reader, "SELECT count(DISTINCT tableoid) FROM log_events")
	if sides != 2 {
		t.Errorf("rows in %d months, want 2: this test does not test what it says", sides)
	}
}

// TestOldKeysGo, and no others.
func TestOldKeysGo(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	var events []event.Event
	for n := range 10 {
		events = append(events, keyed(newRecord(), fmt.Sprint(n), time.Now()))
	}
	store(t, w, false, events...)
	exec(t, owner, "UPDATE event_keys SET kept_at = now() - interval '32 days' WHERE event_key <> $1", events[0].Source.EventKey)
	exec(t, owner, "UPDATE event_keys SET kept_at = now() - interval '30 days' WHERE event_key = $1", events[1].Source.EventKey)
	for _, want := range []int{5, 3, 0} {
		if got := value[int](t, owner, "SELECT drop_event_keys('31 days', 5)"); got != want {
			t.Errorf("dropped %d, want %d", got, want)
		}
	}
	left := value[[]byte](t, owner, "SELECT string_agg(event_key, '' ORDER BY kept_at DESC) FROM event_keys")
	if !bytes.Equal(left, slices.Concat(events[0].Source.EventKey, events[1].Source.EventKey)) {
		t.Errorf("left: %x", left)
	}
	if _, err := owner.Exec(t.Context(), "SELECT drop_event_keys('23 hours')"); SQLState(err) != "22023" {
		t.Errorf("younger than a day: %v", err)
	}
}
