package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// holdSession locks a session's row until it is let go.
func holdSession(t *testing.T, db testbed.DB, id int64) (letGo func()) {
	t.Helper()
	tx, err := db.Connect(t, db.Admin).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM review_sessions WHERE session_id = $1 FOR UPDATE", id); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := tx.Rollback(context.Background()); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
			t.Error(err)
		}
	}
}

// Limits that somebody has set for the role, the database or the server are not ours: the same
// batch would meet them for ever.
func TestNoLimitOfOthersHolds(t *testing.T) {
	db := testbed.Postgres(t)
	store(t, newWriter(t, db), false, newEvent(7, "user_action"))
	admin, letGo := db.Connect(t, db.Admin), holdSession(t, db, 7) // before the limits are theirs, too
	names := []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"}
	if value[bool](t, admin, "SELECT current_setting('transaction_timeout', true) IS NOT NULL") { // PostgreSQL 17
		names = append(names, "transaction_timeout")
	}
	for _, name := range names {
		exec(t, admin, fmt.Sprintf("ALTER DATABASE %q SET %s = '300ms'", db.Name, name))
	}
	w := newWriter(t, db)
	time.AfterFunc(time.Second, letGo)
	if o := store(t, w, false, newEvent(7, "user_action"), newEvent(8, "user_action")); !all(o, Stored) {
		t.Errorf("%v", o)
	}
	if _, err := EnsurePartitions(t.Context(), config(db, db.Writer)); err != nil {
		t.Error(err)
	}
}

// TestNoLimitHoldsOfTheFirstStatement: that which ends the limits is under them itself.
func TestNoLimitHoldsOfTheFirstStatement(t *testing.T) {
	db := testbed.Postgres(t)
	admin := db.Connect(t, db.Admin)
	for _, login := range []testbed.Login{db.Writer, db.Owner} {
		for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
			exec(t, admin, fmt.Sprintf("ALTER ROLE %s IN DATABASE %q SET %s = '1ms'", login.Name, db.Name, name))
		}
	}
	for range 10 {
		if err := Check(t.Context(), config(db, db.Writer), false); err != nil {
			t.Fatal(err)
		}
	}
	store(t, newWriter(t, db), false, newEvent(7, "user_action"))
	if _, err := schema.Version(t.Context(), db.ConnConfig(db.Owner)); err != nil {
		t.Errorf("migrate: %v", err)
	}
}

// A batch whose time is up says so, unless it is the commit that waits
// (TestNothingIsDoneWithoutTheStandby).
func TestABatchThatTakesTooLong(t *testing.T) {
	db := testbed.Postgres(t)
	w := newWriter(t, db)
	store(t, w, false, newEvent(7, "user_action"))
	letGo := holdSession(t, db, 7)
	events := []event.Event{newEvent(7, "user_action"), newEvent(8, "user_action")}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := w.Store(ctx, events, false); !errors.Is(err, ErrTooLong) || Classify(err) != Transient {
		t.Errorf("its time is up: %v", err)
	}
	cancelled := make(chan error, 1)
	go func() {
		_, err := w.Store(t.Context(), events, false)
		cancelled <- err
	}()
	admin := db.Connect(t, db.Admin)
	eventually(t, "it waits", func() bool {
		return value[int64](t, admin, "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE application_name = 'store test' AND wait_event_type = 'Lock' AND datname = $1", db.Name) > 0
	})
	if err := <-cancelled; !errors.Is(err, ErrTooLong) || SQLState(err) != "57014" {
		t.Errorf("cancelled: %v", err)
	}
	letGo()
	if o := store(t, w, false, events...); !all(o, Stored) {
		t.Errorf("%v", o)
	}
}
