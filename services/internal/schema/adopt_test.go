package schema_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// follow reads as one who follows the trail does: what is new since the cursor and final, and where to go on.
func follow(t *testing.T, reader *pgx.Conn, cursor int64) (found int, next int64) {
	t.Helper()
	err := reader.QueryRow(t.Context(), `
		WITH horizon AS MATERIALIZED (SELECT trail_horizon() AS tx)
		SELECT (SELECT count(*) FROM log_events WHERE tx >= $1 AND tx < horizon.tx), horizon.tx FROM horizon`, cursor).Scan(&found, &next)
	if err != nil {
		t.Fatal(err)
	}
	return found, next
}

// followUntil follows until want more events were found. An open transaction of any database of the cluster, a test's
// beside this one too, holds the horizon back.
func followUntil(t *testing.T, reader *pgx.Conn, cursor int64, want int) {
	t.Helper()
	found := 0
	for deadline := time.Now().Add(time.Minute); found < want; {
		if time.Now().After(deadline) {
			t.Fatalf("found %d up to %d, want %d", found, cursor, want)
		}
		more, next := follow(t, reader, cursor)
		if next < cursor {
			t.Fatalf("the horizon went back from %d to %d", cursor, next)
		}
		found, cursor = found+more, next
		time.Sleep(10 * time.Millisecond)
	}
	if found != want {
		t.Errorf("found %d up to %d, want %d", found, cursor, want)
	}
}

const addEvent = `INSERT INTO log_events (event_id, session_id, event_type, "timestamp", received_at)
	SELECT (left(event_id_floor(now())::text, 14) || '7000-8000-' || lpad(to_hex((random() * 1e12)::bigint), 12, '0'))::uuid, session_id, 'user_action', now(), now() FROM review_sessions LIMIT 1`

// A trail that was dumped on a cluster with far greater transaction ids, and restored here: the consumer refuses to add
// to it until `migrate up` has made it at home; then whoever followed it goes on, and misses nothing.
func TestFollowingGoesOnAfterARestore(t *testing.T) {
	db := testbed.Postgres(t)
	admin, writer, reader := db.Connect(t, db.Admin), db.Connect(t, db.Writer), db.Connect(t, db.Reader)
	exec(t, admin, "WITH u AS (INSERT INTO users (username) VALUES ('ada') RETURNING user_id) INSERT INTO review_sessions (session_id, user_id) SELECT 1, user_id FROM u")
	exec(t, writer, addEvent)
	followUntil(t, reader, 0, 1)

	const far = int64(1_000_000_000_000)
	exec(t, admin, "UPDATE log_events SET tx = 1000000000000")
	exec(t, admin, "UPDATE trail_origin SET system_identifier = system_identifier + 1")
	check := func() error {
		return store.Check(t.Context(), store.Config{Host: db.Host, Port: db.Port, Database: db.Name, User: db.Writer.Name, Password: db.Writer.Password}, false)
	}
	if err := check(); !errors.Is(err, store.ErrRestored) {
		t.Fatalf("the consumer's check: %v, want ErrRestored", err)
	}
	if _, err := writer.Exec(t.Context(), "SELECT adopt_cluster()"); err == nil {
		t.Error("the writer may adopt the cluster")
	}
	for range 2 { // the second has nothing to do
		if err := schema.Up(t.Context(), owner(db)); err != nil {
			t.Fatal(err)
		}
		if err := check(); err != nil {
			t.Fatal(err)
		}
	}

	// Above the restored ones there are none. A transaction of another test that began before is still below the horizon.
	found, cursor := follow(t, reader, far+1)
	for deadline := time.Now().Add(time.Minute); cursor <= far && time.Now().Before(deadline); found, cursor = follow(t, reader, far+1) {
		time.Sleep(50 * time.Millisecond) // between two looks
	}
	if found != 0 || cursor <= far {
		t.Errorf("found %d events and the horizon %d above the restored ones, want none and one above %d", found, cursor, far)
	}
	open := db.Connect(t, db.Writer)
	exec(t, open, "BEGIN")
	exec(t, open, addEvent)
	exec(t, writer, addEvent)
	if found, next := follow(t, reader, cursor); found != 0 {
		t.Errorf("found %d below %d while an older transaction is open", found, next)
	}
	exec(t, open, "COMMIT")
	followUntil(t, reader, cursor, 2)
}
