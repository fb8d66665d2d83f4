package store

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestStoreKeepsEveryField(t *testing.T) {
	db := testbed.Postgres(t)
	w, reader := newWriter(t, db), db.Connect(t, db.Reader)

	old := newEvent(1, "user_action")
	old.Timestamp = time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC)
	far := newEvent(1, "user_action")
	far.Timestamp = time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC)
	named := newEvent(9_223_372_036_854_775_807, strings.Repeat("ü", 100))
	named.Username = strings.Repeat("ü", 255)
	named.ReceivedFrom = strings.Repeat("ü", 64)
	named.Payload = []byte(`{"b":[1, 2.50, null], "a":"\"\\ \u00fc 😀", "":{}}`)
	large := newEvent(2, "user_action")
	large.Payload = []byte(`{"x":"` + strings.Repeat("x", 300_000) + `"}`)
	events := shuffled([]event.Event{old, far, named, large, newEvent(1, "user_action")})

	if outcomes := store(t, w, false, events...); !all(outcomes, Stored) || len(outcomes) != len(events) {
		t.Fatalf("outcomes: %v", outcomes)
	}
	for _, e := range events {
		var got event.Event
		var same bool
		err := reader.QueryRow(t.Context(), `
			SELECT event_id, session_id, event_type, coalesce(username, ''), "timestamp", received_at,
				coalesce(received_from, ''), payload = $2::text::jsonb, (username IS NULL) = ($3::text = '')
			FROM log_events WHERE event_id = $1`, e.ID, string(e.Payload), e.Username).
			Scan(&got.ID, &got.SessionID, &got.Type, &got.Username, &got.Timestamp, &got.ReceivedAt, &got.ReceivedFrom, &same, new(bool))
		if err != nil {
			t.Fatal(err)
		}
		got.Timestamp, got.ReceivedAt, got.Payload = got.Timestamp.UTC(), got.ReceivedAt.UTC(), e.Payload
		if !reflect.DeepEqual(got, e) || !same {
			t.Errorf("stored %+v\n  read %+v, payload equal: %v", e, got, same)
		}
	}
	if n := value[int](t, reader, "SELECT count(DISTINCT tx) FROM log_events"); n != 1 {
		t.Errorf("one batch has %d transaction ids, want 1", n)
	}
}

func TestStoreNothing(t *testing.T) {
	w := NewWriter(Config{Host: "nowhere.invalid"})
	if outcomes, err := w.Store(t.Context(), nil, false); err != nil || len(outcomes) != 0 {
		t.Errorf("an empty batch: %v, %v", outcomes, err)
	}
}

// TestStoreAgain puts the same events, whole or in part, a second time, on each path.
func TestStoreAgain(t *testing.T) {
	db := testbed.Postgres(t)
	reader := db.Connect(t, db.Reader)

	for _, tc := range []struct {
		name        string
		redelivered bool
		path        Path
	}{{"unannounced", false, PathLook}, {"redelivered", true, PathLook}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWriter(t, db)
			before := rows(t, reader)
			events := newEvents(50)
			store(t, w, false, events[:20]...)
			if w.Path() != PathCopy {
				t.Errorf("new events took the path %v", w.Path())
			}

			again := shuffled(events)
			for i, o := range store(t, w, tc.redelivered, again...) {
				want := Stored
				if slices.ContainsFunc(events[:20], func(e event.Event) bool { return e.ID == again[i].ID }) {
					want = Duplicate
				}
				if o != want {
					t.Errorf("event %d: %v, want %v", i, o, want)
				}
			}
			if w.Path() != tc.path {
				t.Errorf("path %v, want %v", w.Path(), tc.path)
			}
			if o := store(t, w, true, events...); !all(o, Duplicate) {
				t.Errorf("third time: %v", o)
			}
			if n := rows(t, reader) - before; n != 50 {
				t.Errorf("%d rows, want 50", n)
			}
		})
	}
}

// TestWaryFor100Batches: after a repeat that nobody announced the next batches look first, and then
// no more.
func TestWaryFor100Batches(t *testing.T) {
	db := testbed.Postgres(t)
	w := newWriter(t, db)
	e := newEvent(1, "user_action")
	store(t, w, false, e)
	store(t, w, false, e)
	for i := range 100 {
		store(t, w, false, newEvent(1, "user_action"))
		if w.Path() != PathLook {
			t.Fatalf("batch %d after the repeat took the path %v", i+1, w.Path())
		}
	}
	store(t, w, false, newEvent(1, "user_action"))
	if w.Path() != PathCopy {
		t.Errorf("batch 101 took the path %v", w.Path())
	}
}

// TestReusedIDs: an id that is there with other content, in each field by which events differ, on
// each path.
func TestReusedIDs(t *testing.T) {
	db := testbed.Postgres(t)
	reader := db.Connect(t, db.Reader)
	original := newEvent(1, "user_action")
	original.Username = "alice"
	original.Payload = []byte(`{"a": 1, "b": [true, 1.0]}`)
	nameless := newEvent(1, "user_action")
	store(t, newWriter(t, db), false, original, nameless)

	changed := func(e event.Event, change func(*event.Event)) event.Event { change(&e); return e }
	cases := map[string]struct {
		event event.Event
		want  Outcome
	}{
		"same":                 {original, Duplicate},
		"session":              {changed(original, func(e *event.Event) { e.SessionID = 2 }), Reused},
		"type":                 {changed(original, func(e *event.Event) { e.Type = "llm_error" }), Reused},
		"username":             {changed(original, func(e *event.Event) { e.Username = "bob" }), Reused},
		"username gone":        {changed(original, func(e *event.Event) { e.Username = "" }), Reused},
		"username new":         {changed(nameless, func(e *event.Event) { e.Username = "alice" }), Reused},
		"no username, again":   {nameless, Duplicate},
		"timestamp":            {changed(original, func(e *event.Event) { e.Timestamp = e.Timestamp.Add(time.Microsecond) }), Reused},
		"payload":              {changed(original, func(e *event.Event) { e.Payload = []byte(`{"a": 1, "b": [true, 1.1]}`) }), Reused},
		"payload, as jsonb":    {changed(original, func(e *event.Event) { e.Payload = []byte(`{"b":[true,1.00],"a":1e0}`) }), Duplicate},
		"received_at":          {changed(original, func(e *event.Event) { e.ReceivedAt = e.ReceivedAt.Add(time.Hour) }), Duplicate},
		"received_from":        {changed(original, func(e *event.Event) { e.ReceivedFrom = "another key" }), Duplicate},
		"a type over the size": {changed(original, func(e *event.Event) { e.Type = strings.Repeat("x", 200) }), Reused},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for _, path := range []Path{PathLook, PathInsert} {
				fresh := newEvent(1, "user_action")
				events := []event.Event{fresh, tc.event}
				b := newWritePlan(events, false)
				w := newWriter(t, db)
				if path == PathInsert && len(tc.event.Type) > 100 {
					continue // there it is a value too long, which the column refuses
				}
				if err := w.connect(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.path = path
				if err := w.transact(t.Context(), b); err != nil {
					t.Fatalf("%v: %v", path, err)
				}
				if want := []Outcome{Stored, tc.want}; !slices.Equal(b.outcomes, want) {
					t.Errorf("%v: %v, want %v", path, b.outcomes, want)
				}
			}
		})
	}
	if n := value[int](t, reader, "SELECT count(*) FROM review_sessions WHERE session_id = 2"); n != 1 {
		// The look keeps away sessions of events that it does not store; INSERT, the last resort,
		// can't know.
		t.Errorf("session 2: %d rows", n)
	}
}

// TestRepeatsWithinABatch: the first goes in and the others are compared with it.
func TestRepeatsWithinABatch(t *testing.T) {
	db := testbed.Postgres(t)
	w, reader := newWriter(t, db), db.Connect(t, db.Reader)
	for _, redelivered := range []bool{false, true} {
		a, b := newEvent(1, "user_action"), newEvent(1, "user_action")
		other := a
		other.Payload = []byte(`{"n": 2}`)
		events := []event.Event{b, a, a, other, b, a}
		want := []Outcome{Stored, Stored, Duplicate, Reused, Duplicate, Duplicate}
		if got := store(t, w, redelivered, events...); !slices.Equal(got, want) {
			t.Errorf("redelivered %v: %v, want %v", redelivered, got, want)
		}
		if got := value[string](t, reader, "SELECT payload::text FROM log_events WHERE event_id = $1", a.ID); got != `{"n": 1}` {
			t.Errorf("stored %s, want the first", got)
		}
		want = []Outcome{Duplicate, Duplicate, Duplicate, Reused, Duplicate, Duplicate}
		if got := store(t, w, redelivered, events...); !slices.Equal(got, want) {
			t.Errorf("again, redelivered %v: %v, want %v", redelivered, got, want)
		}
	}
	if n := rows(t, reader); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
}

// TestBetweenLookAndCopy: another writer commits an id after it was looked for. The look can't see
// it, COPY trips over it, and INSERT settles it.
func TestBetweenLookAndCopy(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	e := newEvent(1, "user_action")
	store(t, w, false, newEvent(1, "user_action")) // the session is there

	// A second writer has put the event in and not committed: the look sees nothing, COPY waits.
	other := newWriter(t, db)
	if err := other.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	tx, err := other.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := newWritePlan([]event.Event{e}, false).copyAll(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	fresh := newEvent(1, "user_action")
	result := make(chan []Outcome)
	go func() {
		outcomes, err := w.Store(t.Context(), []event.Event{e, fresh}, true)
		if err != nil {
			t.Error(err)
		}
		result <- outcomes
	}()
	eventually(t, "the writer waits for the other", func() bool {
		return value[bool](t, owner, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted)")
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := <-result, []Outcome{Duplicate, Stored}; !slices.Equal(got, want) {
		t.Errorf("outcomes %v, want %v", got, want)
	}
	if w.Path() != PathInsert {
		t.Errorf("path %v, want %v", w.Path(), PathInsert)
	}
}

// TestOneCopyOneCommit: what a batch costs, as PostgreSQL saw it.
func TestOneCopyOneCommit(t *testing.T) {
	db := testbed.Postgres(t)
	owner := db.Connect(t, db.Owner)
	w := newWriter(t, db)
	store(t, w, false, newEvents(7)...) // the sessions are there

	// SELECT for the sessions, COPY, and nothing else between BEGIN and COMMIT.
	w2 := newWriter(t, db)
	trace := &tracer{}
	cc, err := w2.cfg.ConnConfig()
	if err != nil {
		t.Fatal(err)
	}
	cc.Tracer = trace
	if w2.conn, err = durable.Connect(t.Context(), cc, durable.Options{}); err != nil {
		t.Fatal(err)
	}
	commits := func() int {
		return value[int](t, owner, "SELECT count(DISTINCT tx) FROM log_events")
	}
	before := commits()
	store(t, w2, false, newEvents(1000)...)
	if n := commits() - before; n != 1 {
		t.Errorf("1,000 events took %d transactions, want 1", n)
	}
	if want := []string{"begin", "SELECT", "commit"}; !slices.Equal(trace.statements, want) {
		t.Errorf("statements beside COPY: %v, want %v", trace.statements, want)
	}
}

// BenchmarkStore is the rate of one writer, 1,000 events a batch.
func BenchmarkStore(b *testing.B) {
	for _, bench := range []struct {
		name     string
		repeats  int
		sessions int
	}{{"new", 0, 7}, {"new, 500 sessions", 0, 500}, {"one repeat", 1, 7}, {"all repeats", 1000, 7}} {
		b.Run(bench.name, func(b *testing.B) {
			db := testbed.Postgres(b)
			w := newWriter(b, db)
			last := newEvents(1000)
			if _, err := w.Store(b.Context(), last, false); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				events := newEvents(1000)
				for i := range events {
					events[i].SessionID = int64(1 + i%bench.sessions)
				}
				copy(events, last[:bench.repeats])
				b.StartTimer()
				if _, err := w.Store(b.Context(), events, bench.repeats == 1000); err != nil {
					b.Fatal(err)
				}
				last = events
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func Example_outcome() {
	fmt.Println(Stored, Duplicate, Reused)
	fmt.Println(Transient, Trouble, Rejected)
	fmt.Println(PathCopy, PathLook, PathInsert)
	// Output:
	// stored duplicate reused
	// transient trouble rejected
	// copy look insert
}

// An event whose id was derived under a key may be stored under the plain one, since before there
// was a key. It is looked for there when it comes again, and only what is the same event is found.
func TestStoredBeforeThereWasAKey(t *testing.T) {
	db := testbed.Postgres(t)
	reader := db.Connect(t, db.Reader)
	w := newWriter(t, db)
	before := newEvents(3)
	store(t, w, false, before...)
	keyed := func(e event.Event) event.Event {
		e.PlainID, e.ID = e.ID, idAt(event.IDTime(e.ID))
		return e
	}
	same, other := keyed(before[0]), keyed(before[1])
	other.Payload = []byte(`{"n": "another"}`)
	fresh := keyed(newEvent(1, "user_action"))
	if o := store(t, w, true, same, other, same, fresh, newEvent(1, "user_action")); !slices.Equal(o, []Outcome{Duplicate, Stored, Duplicate, Stored, Stored}) {
		t.Errorf("again: %v", o)
	}
	if o := store(t, w, true, same, same); !slices.Equal(o, []Outcome{Duplicate, Duplicate}) {
		t.Errorf("nothing else: %v", o)
	}
	if o := store(t, w, true, other, fresh); !all(o, Duplicate) {
		t.Errorf("the new ones again: %v", o)
	}
	if n := rows(t, reader); n != 6 {
		t.Errorf("%d rows, want 6", n)
	}
	if n := value[int](t, reader, "SELECT count(*) FROM log_events WHERE event_id = $1", same.ID); n != 0 {
		t.Error("it is there under both ids")
	}
}

// One batch may have an event whose id was derived, and others that have that id written in. What
// is the same event is stored once, wherever it stands, and what isn't keeps the id for itself.
func TestStoredBeforeThereWasAKeyAndWrittenOut(t *testing.T) {
	db := testbed.Postgres(t)
	reader := db.Connect(t, db.Reader)
	w := newWriter(t, db)
	for _, tc := range []struct {
		what  string
		batch func(raw, written, other event.Event) []event.Event
		want  []Outcome
		rows  int // beside the one from before
	}{
		{"beside another", func(raw, written, _ event.Event) []event.Event {
			return []event.Event{raw, written, newEvent(1, "user_action")}
		}, []Outcome{Duplicate, Duplicate, Stored}, 1},
		{"alone", func(raw, written, _ event.Event) []event.Event { return []event.Event{raw, written} }, []Outcome{Duplicate, Duplicate}, 0},
		{"written first", func(raw, written, _ event.Event) []event.Event { return []event.Event{written, raw} }, []Outcome{Duplicate, Duplicate}, 0},
		{"another event", func(raw, _, other event.Event) []event.Event { return []event.Event{raw, other, other} }, []Outcome{Duplicate, Stored, Duplicate}, 1},
		{"another event first", func(raw, written, other event.Event) []event.Event {
			return []event.Event{other, raw, written}
		}, []Outcome{Stored, Duplicate, Duplicate}, 1},
	} {
		t.Run(tc.what, func(t *testing.T) {
			written := newEvent(1, "user_action")
			store(t, w, false, written)
			before := rows(t, reader)
			raw := written
			raw.PlainID, raw.ID = written.ID, idAt(event.IDTime(written.ID))
			written.ID = raw.ID
			other := written
			other.Payload = []byte(`{"n": "another"}`)
			batch := tc.batch(raw, written, other)
			outcomes, err := w.Store(t.Context(), batch, true)
			if err != nil || !slices.Equal(outcomes, tc.want) {
				t.Errorf("%v, %v (class %v), want %v", outcomes, err, Classify(err), tc.want)
			}
			if again, err := w.Store(t.Context(), batch, true); err != nil || !all(again, Duplicate) {
				t.Errorf("again: %v, %v", again, err)
			}
			if n := rows(t, reader) - before; n != tc.rows {
				t.Errorf("%d new rows, want %d", n, tc.rows)
			}
		})
	}
}
