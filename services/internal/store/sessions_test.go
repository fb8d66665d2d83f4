package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// row is a session as it is stored.
type row struct {
	owner      string
	start, end *time.Time
}

func sessionRow(t *testing.T, conn *pgx.Conn, id int64) (r row) {
	t.Helper()
	err := conn.QueryRow(t.Context(), `SELECT username, start_time, end_time
		FROM review_sessions JOIN users USING (user_id) WHERE session_id = $1`, id).Scan(&r.owner, &r.start, &r.end)
	if err != nil {
		t.Fatalf("session %d: %v", id, err)
	}
	return r
}

func (r row) String() string {
	at := func(p *time.Time) string {
		if p == nil {
			return "-"
		}
		return p.UTC().Format("15:04")
	}
	return fmt.Sprintf("%s %s %s", r.owner, at(r.start), at(r.end))
}

// at is an event of a session at a minute past midnight, with a username or "".
func at(session int64, eventType string, minute int, username string) event.Event {
	e := newEvent(session, eventType)
	e.Timestamp = time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)
	e.Username = username
	return e
}

func TestSessions(t *testing.T) {
	db := testbed.Postgres(t)
	reader := db.Connect(t, db.Reader)
	for i, tc := range []struct {
		name    string
		batches [][]event.Event // of session 0, which the test replaces
		want    string
	}{
		{"nobody named", [][]event.Event{{at(0, "user_action", 1, "")}}, "unknown - -"},
		{"named at once", [][]event.Event{{at(0, "user_action", 1, "alice")}}, "alice - -"},
		{"named later in the batch", [][]event.Event{{at(0, "user_action", 1, ""), at(0, "user_action", 1, "alice")}}, "alice - -"},
		{"named in a later batch", [][]event.Event{{at(0, "user_action", 1, "")}, {at(0, "user_action", 1, "alice")}}, "alice - -"},
		{"an owner stays", [][]event.Event{{at(0, "user_action", 1, "alice")}, {at(0, "user_action", 1, "bob")}}, "alice - -"},
		{"an owner stays when nobody is named", [][]event.Event{{at(0, "user_action", 1, "alice")}, {at(0, "user_action", 1, "")}}, "alice - -"},
		{"a user of that name", [][]event.Event{{at(0, "user_action", 1, "unknown")}, {at(0, "user_action", 1, "carol")}}, "carol - -"},
		{"start", [][]event.Event{{at(0, "review_started", 5, "")}}, "unknown 00:05 -"},
		{"earliest start of a batch", [][]event.Event{{at(0, "review_started", 6, ""), at(0, "review_started", 5, ""), at(0, "review_started", 7, "")}}, "unknown 00:05 -"},
		{"earlier start later", [][]event.Event{{at(0, "review_started", 6, "")}, {at(0, "review_started", 5, "")}}, "unknown 00:05 -"},
		{"later start later", [][]event.Event{{at(0, "review_started", 5, "")}, {at(0, "review_started", 6, "")}}, "unknown 00:05 -"},
		{"end before start", [][]event.Event{{at(0, "review_completed", 9, "")}, {at(0, "review_started", 5, "")}}, "unknown 00:05 00:09"},
		{"latest end", [][]event.Event{{at(0, "review_completed", 8, "")}, {at(0, "review_cancelled", 9, "")}, {at(0, "review_completed", 7, "")}}, "unknown - 00:09"},
		{"latest end of a batch", [][]event.Event{{at(0, "review_cancelled", 9, ""), at(0, "review_completed", 8, "")}}, "unknown - 00:09"},
		{"an end by a stranger", [][]event.Event{{at(0, "review_started", 5, "alice")}, {at(0, "review_completed", 9, "a stranger, new here")}}, "alice 00:05 00:09"},
		{"all at once", [][]event.Event{{at(0, "review_started", 5, ""), at(0, "review_completed", 9, "alice")}}, "alice 00:05 00:09"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id := int64(1000 + i)
			w := newWriter(t, db)
			for _, batch := range tc.batches {
				for j := range batch {
					batch[j].SessionID = id
				}
				store(t, w, false, batch...)
			}
			if got := sessionRow(t, reader, id).String(); got != tc.want {
				t.Errorf("session: %s, want %s", got, tc.want)
			}
		})
	}
	if n := value[int](t, reader, "SELECT count(*) FROM users WHERE username = 'a stranger, new here'"); n != 0 {
		t.Error("a user was made that owns nothing")
	}
}

// TestSessionsInAnyOrder: whatever the order and the batches, the same events lead to the same
// start and end, and to an owner that somebody named.
func TestSessionsInAnyOrder(t *testing.T) {
	db := testbed.Postgres(t)
	reader := db.Connect(t, db.Reader)
	for id := int64(1); id <= 20; id++ {
		events := shuffled([]event.Event{
			at(id, "review_started", 5, ""), at(id, "review_started", 7, "alice"), at(id, "user_action", 1, ""),
			at(id, "review_cancelled", 20, ""), at(id, "review_completed", 19, "bob"), at(id, "user_action", 30, "alice"),
		})
		w := newWriter(t, db)
		for len(events) > 0 {
			n := 1 + rand.IntN(len(events))
			store(t, w, false, events[:n]...)
			events = events[n:]
		}
		r := sessionRow(t, reader, id)
		if s := r.String(); s != "alice 00:05 00:20" && s != "bob 00:05 00:20" {
			t.Errorf("session %d: %s", id, s)
		}
	}
}

// TestUnchangedSessionsAreNotWritten: no dead rows, and no waiting for others, for sessions that
// are up to date.
func TestUnchangedSessionsAreNotWritten(t *testing.T) {
	db := testbed.Postgres(t)
	reader := db.Connect(t, db.Reader)
	w := newWriter(t, db)
	events := []event.Event{at(1, "review_started", 5, "alice"), at(1, "review_completed", 9, "")}
	store(t, w, false, events...)
	version := func() string { return value[string](t, reader, "SELECT ctid::text || xmin::text FROM review_sessions") }
	before := version()
	tx, err := db.Connect(t, db.Owner).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), "SELECT FROM review_sessions FOR NO KEY UPDATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	late := []event.Event{at(1, "review_started", 6, "bob"), at(1, "review_completed", 8, ""), at(1, "user_action", 1, "carol")}
	if _, err := w.Store(ctx, late, false); err != nil {
		t.Errorf("while another holds the session: %v", err)
	}
	if after := version(); after != before {
		t.Errorf("the session's row went from %s to %s", before, after)
	}
}

// TestASessionStaysForEventsOnTheirWay: who would delete it waits for the batch, and is refused
// then.
func TestASessionStaysForEventsOnTheirWay(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner, admin := newWriter(t, db), db.Connect(t, db.Owner), db.Connect(t, db.Admin)
	exec(t, owner, "INSERT INTO review_sessions (session_id, user_id) VALUES (1, 1)")
	waiting := func(what string) {
		t.Helper()
		eventually(t, what+" waits", func() bool {
			return value[bool](t, admin, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1 || '%' AND datname = current_database())", what)
		})
	}

	// A batch that has seen its session and not stored its event.
	blocker, err := db.Connect(t, db.Admin).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blocker.Exec(t.Context(), "LOCK TABLE log_events IN SHARE MODE"); err != nil {
		t.Fatal(err)
	}
	stored, deleted := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := w.Store(t.Context(), []event.Event{newEvent(1, "user_action")}, false)
		stored <- err
	}()
	waiting("COPY")
	go func() {
		_, err := owner.Exec(t.Context(), "DELETE FROM review_sessions")
		deleted <- err
	}()
	waiting("DELETE")
	if err := blocker.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-stored; err != nil {
		t.Error(err)
	}
	if err := <-deleted; SQLState(err) != "23001" {
		t.Errorf("deleting the session: %v, want 23001 (restrict_violation)", err)
	}
}

// TestASessionThatVanishes after it was made, and before it is kept: no event is stored, until a
// retry.
func TestASessionThatVanishes(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	exec(t, owner, `CREATE FUNCTION vanish() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
		'BEGIN DELETE FROM public.review_sessions; RETURN NULL; END'`)
	exec(t, owner, "CREATE TRIGGER vanish AFTER INSERT ON review_sessions EXECUTE FUNCTION vanish()")
	e := newEvent(1, "user_action")
	for _, redelivered := range []bool{false, true} {
		if _, err := w.Store(t.Context(), []event.Event{e}, redelivered); !errors.Is(err, errVanished) || Classify(err) != Transient {
			t.Errorf("redelivered %v: %v (class %v), want errVanished and Transient", redelivered, err, Classify(err))
		}
	}
	if n := rows(t, owner); n != 0 {
		t.Errorf("%d events without a session", n)
	}
	exec(t, owner, "DROP TRIGGER vanish ON review_sessions")
	store(t, w, false, e)
}

// TestEventsThatAreNotStoredChangeNoSession: a duplicate and an event under a reused id leave
// sessions alone.
func TestEventsThatAreNotStoredChangeNoSession(t *testing.T) {
	db := testbed.Postgres(t)
	reader := db.Connect(t, db.Reader)
	w := newWriter(t, db)
	e := at(1, "user_action", 1, "")
	store(t, w, false, e)
	reused := e
	reused.SessionID, reused.Username = 2, "mallory"
	for _, redelivered := range []bool{false, true} {
		if o := store(t, w, redelivered, reused); o[0] != Reused {
			t.Fatal(o)
		}
	}
	if n := value[int](t, reader, "SELECT count(*) FROM review_sessions"); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	if n := value[int](t, reader, "SELECT count(*) FROM users"); n != 1 {
		t.Errorf("%d users, want 1 (unknown)", n)
	}
}

// TestWritersAtOnce: writers with overlapping ids, sessions and users, in different orders.
// Whatever the database makes one of them repeat is Transient, and in the end every event is there
// once.
func TestWritersAtOnce(t *testing.T) {
	db := testbed.Postgres(t)
	reader := db.Connect(t, db.Reader)
	const writers, batches, size = 4, 15, 100

	pool := make([]event.Event, 600) // of which every writer stores some, so that most come several times
	for i := range pool {
		pool[i] = at(int64(1+rand.IntN(150)), []string{"user_action", "review_started", "review_completed"}[i%3], rand.IntN(60), "")
		if i%2 == 0 {
			pool[i].Username = fmt.Sprintf("user %d", rand.IntN(50))
		}
	}
	var (
		mu     sync.Mutex
		stored = map[string]int{}
		wg     sync.WaitGroup
	)
	for n := range writers {
		wg.Go(func() {
			w := newWriter(t, db)
			for i := range batches {
				batch := shuffled(pool)[:size]
				outcomes, err := w.Store(t.Context(), batch, (n+i)%3 == 0)
				for tries := 0; err != nil; tries++ {
					if Classify(err) != Transient || tries == 10 {
						t.Errorf("try %d: %v (class %v)", tries, err, Classify(err))
						return
					}
					outcomes, err = w.Store(t.Context(), batch, true)
				}
				mu.Lock()
				for j, o := range outcomes {
					switch o {
					case Stored:
						stored[batch[j].ID.String()]++
					case Reused:
						t.Errorf("an event was taken for another")
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if n := rows(t, reader); n != len(stored) {
		t.Errorf("%d rows, %d events were said to be stored", n, len(stored))
	}
	for id, n := range stored {
		if n != 1 {
			t.Errorf("event %s was stored %d times", id, n)
		}
	}
	// Start and end are functions of the events that are there, whoever stored them.
	wrong := value[int](t, reader, `
		SELECT count(*) FROM review_sessions s WHERE
			start_time IS DISTINCT FROM (SELECT min("timestamp") FROM log_events e WHERE e.session_id = s.session_id AND event_type = 'review_started')
			OR end_time IS DISTINCT FROM (SELECT max("timestamp") FROM log_events e WHERE e.session_id = s.session_id AND event_type = 'review_completed')
			OR (SELECT username FROM users u WHERE u.user_id = s.user_id) <> ALL (
				SELECT username FROM log_events e WHERE e.session_id = s.session_id AND username IS NOT NULL
				UNION ALL SELECT 'unknown' WHERE NOT EXISTS (SELECT FROM log_events e WHERE e.session_id = s.session_id AND username IS NOT NULL))`)
	if wrong != 0 {
		t.Errorf("%d sessions are not what their events say", wrong)
	}
}
