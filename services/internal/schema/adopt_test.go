package schema_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

const addEvent = `INSERT INTO log_events (event_id, session_id, event_type, "timestamp", received_at)
	SELECT (left(event_id_floor(now())::text, 14) || '7000-8000-' || lpad(to_hex((random() * 1e12)::bigint), 12, '0'))::uuid, session_id, 'user_action', now(), now() FROM review_sessions LIMIT 1`

const addSession = "WITH u AS (INSERT INTO users (username) VALUES ('ada') RETURNING user_id) INSERT INTO review_sessions (session_id, user_id) SELECT 1, user_id FROM u"

func ask[T any](t *testing.T, conn *pgx.Conn, question string, args ...any) (answer T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), question, args...).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	return answer
}

func check(t *testing.T, db testbed.DB) error {
	t.Helper()
	return store.Check(t.Context(), store.Config{Host: db.Host, Port: db.Port, Database: db.Name, User: db.Writer.Name, Password: db.Writer.Password}, false)
}

// A trail that does not belong to its database, for each possible reason: nothing may be added,
// noted or followed until `migrate up` has adopted it, with tx above all that it has or had, in
// months that were detached too.
func TestATrailThatIsNotAtHome(t *testing.T) {
	for name, tc := range map[string]struct{ leave, says string }{
		"another cluster":        {"UPDATE trail_origin SET system_identifier = system_identifier + 1", "it comes from the cluster "},
		"another database":       {"UPDATE trail_origin SET database_oid = 1", "it comes from the database with the OID 1, "},
		"no origin":              {"DELETE FROM trail_origin", "trail_origin is empty"},
		"ids that were set back": {"UPDATE trail_origin SET safe_tx = 1000000000000", "transaction ids have been set back"},
	} {
		t.Run(name, func(t *testing.T) {
			db := testbed.Postgres(t)
			admin, writer, reader := db.Connect(t, db.Admin), db.Connect(t, db.Writer), db.Connect(t, db.Reader)
			exec(t, admin, addSession)
			exec(t, writer, addEvent)
			const far = int64(2_000_000_000_000)
			exec(t, admin, "UPDATE log_events SET tx = 2000000000000")
			exec(t, admin, `ALTER TABLE log_events DETACH PARTITION `+ask[string](t, admin, "SELECT tableoid::regclass::text FROM log_events"))
			exec(t, writer, addEvent) // into the default partition
			before := ask[string](t, reader, "SELECT epoch FROM trail_resume(NULL)")
			exec(t, admin, tc.leave)

			if err := check(t, db); !errors.Is(err, store.ErrRestored) || !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("the consumer's check: %v, want ErrRestored, %s", err, tc.says)
			}
			for _, statement := range []string{"SELECT note_horizon()", "SELECT trail_resume(NULL)"} {
				for _, conn := range []*pgx.Conn{writer, reader} {
					if _, err := conn.Exec(t.Context(), statement); store.SQLState(err) != "55000" || !strings.Contains(err.Error(), tc.says) {
						t.Errorf("%s: %v, want 55000 (object_not_in_prerequisite_state), %s", statement, err, tc.says)
					}
				}
			}
			if _, err := writer.Exec(t.Context(), "SELECT adopt_cluster()"); store.SQLState(err) != "42501" {
				t.Errorf("the writer adopts the cluster: %v", err)
			}
			for range 2 { // the second has nothing to do
				if err := schema.Up(t.Context(), owner(db)); err != nil {
					t.Fatal(err)
				}
				if err := check(t, db); err != nil {
					t.Fatal(err)
				}
			}
			exec(t, writer, addEvent)
			if tx := ask[int64](t, reader, "SELECT max(tx) FROM log_events"); tx <= far {
				t.Errorf("the next event has tx %d, a detached one %d", tx, far)
			}
			// A month that comes back brings its own default of tx along, which nobody's insert
			// through log_events uses.
			if horizon := ask[int64](t, reader, "SELECT trail_horizon()"); horizon <= far {
				t.Errorf("the horizon is %d, a detached event has %d", horizon, far)
			}
			exec(t, writer, "SELECT note_horizon()")
			if after := ask[string](t, reader, "SELECT epoch FROM trail_resume($1)", before); after != before {
				t.Errorf("the epoch was %s and is %s on the same server", before, after)
			}
		})
	}
}

// A transaction that began before adopt_cluster and stores afterwards is above what there was, too.
func TestAdoptingBesideAnOpenTransaction(t *testing.T) {
	db := testbed.Postgres(t)
	admin, early, writer := db.Connect(t, db.Admin), db.Connect(t, db.Writer), db.Connect(t, db.Writer)
	exec(t, admin, addSession)
	exec(t, writer, addEvent)
	exec(t, early, "BEGIN")
	exec(t, early, "SELECT pg_current_xact_id()")
	for range 50 {
		exec(t, writer, "SELECT pg_current_xact_id()")
	}
	const far = int64(1_000_000_000_000)
	exec(t, admin, "UPDATE log_events SET tx = 1000000000000")
	exec(t, admin, "UPDATE trail_origin SET system_identifier = system_identifier + 1")
	if err := schema.Up(t.Context(), owner(db)); err != nil {
		t.Fatal(err)
	}
	exec(t, early, addEvent)
	exec(t, early, "COMMIT")
	if n := ask[int64](t, writer, "SELECT count(*) FROM log_events WHERE tx > $1", far); n != 1 {
		t.Error("what an older transaction has stored is below what was there")
	}
}

// The note moves as transactions end, never beyond one that is open, and never back. A new epoch's
// row has it as it was found; of many at once, one moves it.
func TestTheNoteAndTheEpochs(t *testing.T) {
	db := testbed.Postgres(t)
	admin, writer, reader := db.Connect(t, db.Admin), db.Connect(t, db.Writer), db.Connect(t, db.Reader)
	exec(t, admin, addSession)
	noted := func() int64 { t.Helper(); return ask[int64](t, reader, "SELECT safe_tx FROM trail_origin") }
	note := func() int64 { t.Helper(); exec(t, writer, "SELECT note_horizon()"); return noted() }
	moves := func(what string, above int64) int64 {
		t.Helper()
		// Another test's transaction may hold the horizon back.
		eventually(t, what, func() bool { return note() > above })
		return noted()
	}
	first := moves("the note moves", 0)
	second := moves("the note moves again, by nothing but its own transactions", first)

	open := db.Connect(t, db.Writer)
	exec(t, open, "BEGIN")
	exec(t, open, addEvent)
	tx := ask[int64](t, open, "SELECT pg_current_xact_id()::text::bigint")
	for range 3 {
		exec(t, writer, addEvent)
		if n := note(); n > tx || n < second {
			t.Errorf("noted %d beside transaction %d, after %d", n, tx, second)
		}
	}
	exec(t, open, "COMMIT")
	third := moves("the note passes what has ended", tx)

	// One who is at it keeps nobody waiting.
	exec(t, open, "BEGIN")
	exec(t, open, "SELECT note_horizon()")
	exec(t, writer, "SET statement_timeout = '20s'")
	exec(t, writer, "SELECT note_horizon()")
	exec(t, open, "COMMIT")

	// Epochs: the row of this one goes, as if it were new; a later one of its kind is what a
	// restart makes.
	here := ask[string](t, reader, "SELECT epoch FROM trail_resume(NULL)")
	exec(t, admin, "UPDATE trail_epochs SET epoch = 'an/earlier/one'")
	third = max(third, noted())
	var wg sync.WaitGroup
	for range 8 {
		conn := db.Connect(t, db.Reader)
		wg.Go(func() {
			if _, err := conn.Exec(t.Context(), "SELECT note_horizon(), trail_resume('an/earlier/one')"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := ask[int64](t, reader, "SELECT count(*) FROM trail_epochs"); n != 2 {
		t.Errorf("%d epochs, want 2", n)
	}
	if found := ask[int64](t, reader, "SELECT safe_tx FROM trail_epochs WHERE epoch = $1", here); found != third {
		t.Errorf("the new epoch found %d, want %d, as it was", found, third)
	}
	moves("the note moves in the new epoch", third)
	for known, want := range map[string]int64{"an/earlier/one": third, "none that was": 0} {
		if from := ask[int64](t, reader, "SELECT from_tx FROM trail_resume($1)", known); from != want {
			t.Errorf("coming from %q: from_tx %d, want %d", known, from, want)
		}
	}
	// A known epoch writes nothing.
	exec(t, reader, "SET default_transaction_read_only = on")
	if from := ask[*int64](t, reader, "SELECT from_tx FROM trail_resume($1)", here); from != nil {
		t.Errorf("in the same epoch: from_tx %d, want null", *from)
	}
}

// A database of before version 10 belongs where it is, and its epochs begin.
func TestEpochsOfAnOlderDatabase(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	if err := schema.Up(t.Context(), owner(db), schema.WithFiles(upTo(t, 9))); err != nil {
		t.Fatal(err)
	}
	admin, writer := db.Connect(t, db.Admin), db.Connect(t, db.Writer)
	exec(t, admin, addSession)
	exec(t, writer, addEvent)
	before := ask[int64](t, admin, "SELECT tx FROM log_events")
	if err := schema.Up(t.Context(), owner(db)); err != nil {
		t.Fatal(err)
	}
	if err := check(t, db); err != nil {
		t.Error(err)
	}
	if tx := ask[int64](t, admin, "SELECT tx FROM log_events"); tx != before {
		t.Errorf("tx was %d and is %d", before, tx)
	}
	exec(t, writer, "SELECT note_horizon()")
	if from := ask[int64](t, writer, "SELECT from_tx FROM trail_resume(NULL)"); from != 0 {
		t.Errorf("from_tx %d, want 0", from)
	}
}
