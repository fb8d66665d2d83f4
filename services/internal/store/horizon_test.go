package store

import (
	"errors"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestARestoreWhileTheConsumerRuns: each new connection checks whether the trail belongs to the
// database that it leads to. Until it is, nothing is stored or made or noted; then the same writer
// goes on.
func TestARestoreWhileTheConsumerRuns(t *testing.T) {
	db := testbed.Postgres(t)
	admin, w := db.Connect(t, db.Admin), newWriter(t, db)
	store(t, w, false, newEvents(3)...)
	exec(t, admin, "UPDATE trail_origin SET database_oid = 1")
	exec(t, admin, "SELECT pg_terminate_backend($1, 10000)", int64(w.conn.PgConn().PID()))

	events := newEvents(2)
	var err error
	eventually(t, "the writer has dialled again", func() bool {
		_, err = w.Store(t.Context(), events, false)
		return Classify(err) != Transient // the first meets the connection's end
	})
	if !errors.Is(err, ErrRestored) || Classify(err) != Trouble {
		t.Fatalf("Store: %v (class %v), want ErrRestored, and trouble", err, Classify(err))
	}
	if w.conn != nil && !w.conn.IsClosed() {
		t.Error("the writer keeps that connection")
	}
	if _, err := EnsurePartitions(t.Context(), config(db, db.Writer)); !errors.Is(err, ErrRestored) {
		t.Errorf("EnsurePartitions: %v, want ErrRestored", err)
	}
	if _, err := NoteHorizon(t.Context(), config(db, db.Writer)); !errors.Is(err, ErrRestored) {
		t.Errorf("NoteHorizon: %v, want ErrRestored", err)
	}
	if n := rows(t, admin); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}

	exec(t, admin, "SELECT adopt_cluster()")
	if outcomes := store(t, w, true, events...); !all(outcomes, Stored) {
		t.Errorf("adopted: %v", outcomes)
	}
	if moved, err := NoteHorizon(t.Context(), config(db, db.Writer)); err != nil || time.Since(moved).Abs() > time.Hour {
		t.Errorf("NoteHorizon: %v, %v", moved, err)
	}
}
