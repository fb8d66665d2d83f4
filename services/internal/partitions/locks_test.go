package partitions

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// begin opens a transaction that has done a statement and stays.
func begin(t *testing.T, db testbed.DB, l testbed.Login, statement string) (conn *pgx.Conn, end func()) {
	t.Helper()
	conn = db.Connect(t, l)
	tx := must[pgx.Tx](t)(conn.Begin(t.Context()))
	if _, err := tx.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	return conn, func() {
		t.Helper()
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDetachGivesWay: beside a report that takes long, it tries again and again, writers go on
// meanwhile, and in the end it says who was in the way.
func TestDetachGivesWay(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 100)
	report, end := begin(t, db, db.Reader, "SELECT count(*) FROM log_events")
	load := startLoad(t, db, 2, 50)
	load.await(t, 10)

	impatient := open(t, db, Options{Patience: 3 * time.Second})
	load.during(t, "detach gives way", func() {
		before := load.batches.Load()
		start := time.Now()
		_, err := impatient.Detach(t.Context(), year)
		who := fmt.Sprintf("in use by pid %d (%s, ", report.PgConn().PID(), db.Reader.Name)
		if err == nil || !strings.Contains(err.Error(), "gave up after") || !strings.Contains(err.Error(), who) {
			t.Errorf("%v, want one that tells of %q", err, who)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it gave up after %v", took)
		}
		if n := load.batches.Load() - before; n < 10 {
			t.Errorf("only %d batches were stored meanwhile", n)
		}
	})
	if got, want := states(t, impatient), m.String()+":attached:100 default:0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}

	if err := impatient.Close(); err != nil {
		t.Fatal(err)
	}

	// A patient one has what it wants as soon as the report is done.
	patient, done := open(t, db, Options{}), make(chan error, 1)
	go func() {
		_, err := patient.Detach(t.Context(), year)
		done <- err
	}()
	load.await(t, 20)
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestADetachedMonthIsOnItsOwn: work on it locks nothing of the trail.
func TestADetachedMonthIsOnItsOwn(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 100)
	s, dir := open(t, db, Options{}), t.TempDir()
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	owner := db.Connect(t, db.Owner)
	if comment := value[string](t, owner, "SELECT obj_description($1::regclass)", m.Table()); !strings.Contains(comment, "Detached from log_events at ") {
		t.Errorf("its comment: %q", comment)
	}
	// Whoever has all of the trail for itself is not even noticed.
	_, end := begin(t, db, db.Owner, "LOCK TABLE review_sessions, users, log_events IN ACCESS EXCLUSIVE MODE")
	defer end()
	must[[]export.Manifest](t)(s.Export(t.Context(), dir))
	must[[]month.Month](t)(s.Drop(t.Context(), dir))
}

// TestDropWaitsForReaders of the detached month, without a transaction id of its own, which would
// stop who follows the trail.
func TestDropWaitsForReaders(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 100)
	s, dir := open(t, db, Options{Patience: time.Second}), t.TempDir()
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	must[[]export.Manifest](t)(s.Export(t.Context(), dir))

	reader, end := begin(t, db, db.Owner, "SELECT FROM "+m.Table())
	if _, err := s.Drop(t.Context(), dir); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pid %d ", reader.PgConn().PID())) {
		t.Errorf("%v, want one that names the reader", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	patient, done := open(t, db, Options{}), make(chan error, 1)
	go func() {
		_, err := patient.Drop(t.Context(), dir)
		done <- err
	}()
	owner := db.Connect(t, db.Owner)
	const waits = `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE pid = $1 AND relation = $2::regclass AND mode = 'ShareLock' AND granted AND query LIKE '%pg_locks%')`
	eventually(t, "the drop waits", func() bool {
		return value[bool](t, owner, waits, int32(patient.conn.PgConn().PID()), m.Table())
	})
	if value[bool](t, owner, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1 AND backend_xid IS NOT NULL)", int32(patient.conn.PgConn().PID())) {
		t.Error("it waits with a transaction id")
	}
	end()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestOneAtATime: a second session says what is the matter.
func TestOneAtATime(t *testing.T) {
	db := testbed.Postgres(t)
	makeMonth(t, db, old(14), 3)
	first, second := open(t, db, Options{}), open(t, db, Options{Patience: 300 * time.Millisecond})
	must[[]month.Month](t)(first.Detach(t.Context(), year))
	if _, err := second.Export(t.Context(), t.TempDir()); !errors.Is(err, ErrAtWork) {
		t.Errorf("%v, want ErrAtWork", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	must[[]export.Manifest](t)(second.Export(t.Context(), t.TempDir()))
}

// TestEnsureWaitsForOthers: for who holds the trail, and for who makes the partitions already.
func TestEnsureWaitsForOthers(t *testing.T) {
	db := testbed.Postgres(t)
	missing := old(-3)
	owner := db.Connect(t, db.Owner)
	for _, obstacle := range []string{"SELECT ensure_partitions(1)", "LOCK TABLE log_events IN ACCESS SHARE MODE; LOCK TABLE log_events_default IN ROW EXCLUSIVE MODE"} {
		run(t, owner, "DROP TABLE "+missing.Table())
		conn := db.Connect(t, db.Owner)
		if _, err := conn.PgConn().Exec(t.Context(), "BEGIN; "+obstacle).ReadAll(); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, db, Options{Patience: 500 * time.Millisecond}).Ensure(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "gave up") {
			t.Errorf("beside %s: %v", obstacle, err)
		}
		run(t, conn, "ROLLBACK")
		if made := must[int](t)(open(t, db, Options{}).Ensure(t.Context(), 3)); made != 1 {
			t.Errorf("%d partitions made, want 1", made)
		}
	}
}
