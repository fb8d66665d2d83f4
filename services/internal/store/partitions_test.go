package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// partitions returns the bounds of each month's partition, by name.
func partitions(t *testing.T, conn *pgx.Conn) map[string]string {
	t.Helper()
	list, err := conn.Query(t.Context(), `SELECT relname, pg_get_expr(relpartbound, c.oid)
		FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
		WHERE inhparent = 'log_events'::regclass AND relname <> 'log_events_default'`)
	if err != nil {
		t.Fatal(err)
	}
	bounds := map[string]string{}
	var name, bound string
	if _, err := pgx.ForEachRow(list, []any{&name, &bound}, func() error { bounds[name] = bound; return nil }); err != nil {
		t.Fatal(err)
	}
	return bounds
}

func monthStart(at time.Time) time.Time {
	at = at.UTC()
	return time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// firstID is the smallest UUID of a millisecond.
func firstID(at time.Time) uuid.UUID {
	id := idAt(at)
	clear(id[6:])
	return id
}

func partitionName(month time.Time) string { return month.Format("log_events_y2006m01") }

func TestPartitionsAreCalendarMonths(t *testing.T) {
	db := testbed.Postgres(t)
	owner := db.Connect(t, db.Owner)
	this := monthStart(time.Now())

	check := func(first, last int) {
		t.Helper()
		got := partitions(t, owner)
		for m := first; m <= last; m++ {
			from, to := this.AddDate(0, m, 0), this.AddDate(0, m+1, 0)
			want := "FOR VALUES FROM ('" + firstID(from).String() + "') TO ('" + firstID(to).String() + "')"
			if bound := got[partitionName(from)]; bound != want {
				t.Errorf("%s: %s, want %s", partitionName(from), bound, want)
			}
		}
		if len(got) != last-first+1 {
			t.Errorf("%d partitions, want %d", len(got), last-first+1)
		}
	}
	check(-1, 3) // by the migration

	writer := db.Connect(t, db.Writer)
	if n := testbed.EnsurePartitions(t, writer, 24); n != 21 {
		t.Errorf("ensure_partitions(24) made %d, want 21", n)
	}
	check(-1, 24)
	if n := testbed.EnsurePartitions(t, writer, 24); n != 0 {
		t.Errorf("a second call made %d", n)
	}
	// In a session with another time zone and a hostile search_path it is all the same.
	exec(t, owner, "DROP TABLE "+partitionName(this.AddDate(0, 3, 0)))
	exec(t, writer, "SET timezone = 'Pacific/Kiritimati'")
	exec(t, writer, "SET search_path = pg_temp, information_schema")
	testbed.EnsurePartitions(t, writer, 3)
	check(-1, 24)

	for _, bad := range []string{"0", "25", "-1", "NULL"} {
		if _, err := writer.Exec(t.Context(), "SELECT public.ensure_partitions("+bad+")"); SQLState(err) != "22023" {
			t.Errorf("ensure_partitions(%s): %v, want 22023", bad, err)
		}
	}
}

// TestEventsGoToTheirMonth: the first and the last millisecond of a month.
func TestEventsGoToTheirMonth(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	this := monthStart(time.Now())
	for at, want := range map[time.Time]string{
		this:                                    partitionName(this),
		this.Add(-time.Millisecond):             partitionName(this.AddDate(0, -1, 0)),
		this.AddDate(0, 1, 0):                   partitionName(this.AddDate(0, 1, 0)),
		this.AddDate(0, 4, 0):                   "log_events_default",
		this.AddDate(0, -1, 0).Add(-time.Hour):  "log_events_default",
		this.AddDate(0, 1, 0).Add(-time.Second): partitionName(this),
	} {
		e := newEvent(1, "user_action")
		e.ID = idAt(at)
		store(t, w, false, e)
		if got := value[string](t, owner, "SELECT tableoid::regclass::text FROM log_events WHERE event_id = $1", e.ID); got != want {
			t.Errorf("an event of %v is in %s, want %s", at, got, want)
		}
	}
}

// TestEventsMoveOutOfTheDefaultPartition, whole, and with their transaction ids; those of no
// sensible month stay.
func TestEventsMoveOutOfTheDefaultPartition(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	this := monthStart(time.Now())
	cfg := config(db, db.Writer)

	moving := newEvents(30)
	for i := range moving {
		moving[i].ID = idAt(this.AddDate(0, -2-i%14, 0).Add(time.Duration(i) * time.Hour)) // of 14 months: two calls
	}
	staying := newEvents(3)
	staying[0].ID = idAt(time.Date(2019, 12, 31, 23, 59, 59, 999e6, time.UTC))
	staying[1].ID = idAt(this.AddDate(0, 4, 0))
	staying[2].ID = uuid.Max
	store(t, w, false, moving...)
	store(t, w, false, staying...)

	if n, err := DefaultRows(t.Context(), cfg); err != nil || n != 33 {
		t.Fatalf("default rows: %d, %v, want 33", n, err)
	}
	const content = "SELECT md5(string_agg(e::text, '|' ORDER BY event_id)) FROM log_events e"
	before := value[string](t, owner, content)
	for range 2 {
		if _, err := EnsurePartitions(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if after := value[string](t, owner, content); after != before {
		t.Error("the rows changed on their way")
	}
	if n, err := DefaultRows(t.Context(), config(db, db.Reader)); err != nil || n != 3 {
		t.Errorf("default rows afterwards: %d, %v, want 3", n, err)
	}
	for _, e := range moving {
		want := partitionName(monthStart(event.IDTime(e.ID)))
		if got := value[string](t, owner, "SELECT tableoid::regclass::text FROM log_events WHERE event_id = $1", e.ID); got != want {
			t.Errorf("%s is in %s, want %s", e.ID, got, want)
		}
	}
	if o := store(t, w, true, slices.Concat(moving, staying)...); !all(o, Duplicate) {
		t.Errorf("the same events again: %v", o)
	}
}

// TestPartitionsHaveAllIndexes: a partition that was made alone and attached is no poorer than
// another.
func TestPartitionsHaveAllIndexes(t *testing.T) {
	db := testbed.Postgres(t)
	owner := db.Connect(t, db.Owner)
	poor := value[int](t, owner, `
		SELECT count(*) FROM pg_partition_tree('log_events') t WHERE isleaf AND (
			(SELECT count(*) FROM pg_index i JOIN pg_inherits ON inhrelid = indexrelid WHERE i.indrelid = t.relid) <>
			(SELECT count(*) FROM pg_index i WHERE i.indrelid = 'log_events'::regclass)
			OR (SELECT count(*) FROM pg_index i WHERE i.indrelid = t.relid) <> 4
			OR (SELECT count(*) FROM pg_constraint c WHERE c.conrelid = t.relid AND contype = 'c') <> 2)`)
	if poor != 0 {
		t.Errorf("%d partitions lack an index or a check, or have others", poor)
	}
}

// TestEnsurePartitionsGivesWay: to a session that is at it already, at once; to a long transaction,
// after a second, so that writers do not queue behind it.
func TestEnsurePartitionsGivesWay(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	cfg := config(db, db.Writer)
	missing := partitionName(monthStart(time.Now()).AddDate(0, 3, 0))
	exec(t, owner, "DROP TABLE "+missing)

	other := db.Connect(t, db.Writer)
	tx, err := other.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT ensure_partitions()"); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsurePartitions(t.Context(), cfg); err != nil {
		t.Errorf("beside another session: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}

	bystander, err := db.Connect(t, db.Owner).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// As a writer's.
	if _, err := bystander.Exec(t.Context(), "LOCK TABLE ONLY log_events IN ROW EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	report, err := db.Connect(t, db.Reader).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := report.Exec(t.Context(), "SET application_name = 'a \"long\" report'"); err != nil {
		t.Fatal(err)
	}
	if _, err := report.Exec(t.Context(), "SELECT count(*) FROM log_events"); err != nil {
		t.Fatal(err)
	}
	_, err = EnsurePartitions(t.Context(), cfg)
	if SQLState(err) != "55P03" || Classify(err) != Transient {
		t.Errorf("beside a long report: %v (class %v), want 55P03", err, Classify(err))
	}
	if name := fmt.Sprintf("in use by pid %d (%s, %q)", report.Conn().PgConn().PID(), db.Reader.Name, `a "long" report`); err == nil || !strings.HasSuffix(err.Error(), name) {
		t.Errorf("%v, want who holds the lock, and nobody else: %s", err, name)
	}
	if err := bystander.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	store(t, w, false, newEvent(1, "user_action")) // writers go on
	if err := report.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := EnsurePartitions(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	if _, ok := partitions(t, owner)[missing]; !ok {
		t.Errorf("%s was not made", missing)
	}
}

// TestEnsurePartitionsUnderLoad: writers that fill the default partition while its rows are moved,
// again and again.
func TestEnsurePartitionsUnderLoad(t *testing.T) {
	db := testbed.Postgres(t)
	owner := db.Connect(t, db.Owner)
	month := monthStart(time.Now()).AddDate(0, -2, 0)
	ctx, stop := context.WithCancel(t.Context())

	var wg sync.WaitGroup
	counts := make([]int, 3)
	for n := range counts {
		wg.Go(func() {
			w := newWriter(t, db)
			for ctx.Err() == nil {
				events := newEvents(20)
				for i := range events {
					events[i].ID = idAt(month.Add(time.Duration(i) * time.Hour))
					events[i].SessionID = int64(1 + counts[n]%1000) // new sessions too, which take locks
				}
				outcomes, err := w.Store(t.Context(), events, false)
				for err != nil && Classify(err) == Transient {
					outcomes, err = w.Store(t.Context(), events, true)
				}
				if err != nil {
					t.Errorf("%v (class %v)", err, Classify(err))
					return
				}
				if all(outcomes, Stored) {
					counts[n] += len(events)
				}
			}
		})
	}
	for i := range 8 {
		eventually(t, "the partition is made", func() bool {
			_, err := EnsurePartitions(t.Context(), config(db, db.Writer))
			if err != nil && SQLState(err) != "55P03" { // it gave way, and nothing else
				t.Fatal(err)
			}
			_, ok := partitions(t, owner)[partitionName(month)]
			return ok
		})
		if i == 7 {
			break
		}
		// Back into the default partition with it, so that there is something to move next time.
		eventually(t, "the partition is taken back", func() bool {
			_, err := owner.PgConn().Exec(t.Context(), `
				SET lock_timeout = '1s';
				BEGIN;
				LOCK TABLE ONLY review_sessions IN SHARE ROW EXCLUSIVE MODE;
				LOCK TABLE log_events IN ACCESS EXCLUSIVE MODE;
				CREATE TEMPORARY TABLE kept AS SELECT * FROM `+partitionName(month)+`;
				DROP TABLE `+partitionName(month)+`;
				INSERT INTO log_events SELECT * FROM kept;
				DROP TABLE kept;
				COMMIT`).ReadAll()
			if err != nil {
				exec(t, owner, "ROLLBACK")
			}
			return err == nil
		})
	}
	stop()
	wg.Wait()
	want := 0
	for _, n := range counts {
		want += n
	}
	if n := rows(t, owner); n != want || want == 0 {
		t.Errorf("%d rows, want %d", n, want)
	}
}

// TestAReaderCantStopThePartitionMaker: any role may take advisory locks, and a lock on a table
// that it may only read at most as a reader.
func TestAReaderCantStopThePartitionMaker(t *testing.T) {
	db := testbed.Postgres(t)
	exec(t, db.Connect(t, db.Owner), "DROP TABLE "+partitionName(monthStart(time.Now()).AddDate(0, 3, 0)))
	reader := db.Connect(t, db.Reader)
	for _, key := range []int64{7161947025408813105, 7161947025408813107} { // the former locks
		exec(t, reader, fmt.Sprintf("SELECT pg_advisory_lock(%d)", key))
	}
	for _, table := range []string{"attached_months", "retired_months"} {
		exec(t, reader, "BEGIN")
		if _, err := reader.Exec(t.Context(), "LOCK TABLE ONLY "+table+" IN SHARE UPDATE EXCLUSIVE MODE"); SQLState(err) != "42501" {
			t.Errorf("the reader's lock on %s: %v", table, err)
		}
		exec(t, reader, "ROLLBACK; BEGIN; LOCK TABLE "+table+" IN ACCESS SHARE MODE; COMMIT")
	}
	exec(t, reader, "BEGIN; LOCK TABLE attached_months IN ACCESS SHARE MODE")
	if made, err := EnsurePartitions(t.Context(), config(db, db.Writer)); err != nil || made != 1 {
		t.Errorf("made %d, %v", made, err)
	}
}
