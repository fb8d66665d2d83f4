package store

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestPlansThatLast: what PostgreSQL plans for a writer while the tables are empty is right for
// when they are not.
func TestPlansThatLast(t *testing.T) {
	db := testbed.Postgres(t)
	w := newWriter(t, db)
	if err := w.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, w.conn, "SET plan_cache_mode = force_generic_plan")
	events := newEvents(10)
	events[0].Type, events[0].Username = "review_started", "alice"
	for _, path := range []Path{PathLook, PathInsert} {
		w.path = path
		if err := w.transact(t.Context(), newWritePlan(events, false)); err != nil {
			t.Fatal(err)
		}
		store(t, w, true, events...) // compares
	}

	list, err := w.conn.Query(t.Context(), `SELECT name, cardinality(parameter_types), statement FROM pg_prepared_statements
		WHERE statement LIKE '%public.%' AND statement NOT LIKE '%pg_prepared_statements%' AND statement NOT LIKE '%trail_elsewhere%'`)
	if err != nil {
		t.Fatal(err)
	}
	type prepared struct {
		Name      string
		N         int
		Statement string
	}
	statements, err := pgx.CollectRows(list, pgx.RowToStructByPos[prepared])
	if err != nil || len(statements) != 8 {
		t.Fatalf("%d statements, want the 8 of this package: %v", len(statements), err)
	}
	for _, s := range statements {
		execute := "EXPLAIN EXECUTE " + s.Name + "(" + strings.TrimSuffix(strings.Repeat("NULL,", s.N), ",") + ")"
		list, err := w.conn.Query(t.Context(), execute, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(list, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		plan := strings.Join(lines, "\n")
		for _, bad := range []string{"Seq Scan", "Hash Join", "Merge Join", "Join Filter"} {
			if strings.Contains(plan, bad) {
				t.Errorf("a plan with a %s for %s\n%s", bad, s.Statement, plan)
			}
		}
	}
}

// TestWhatABatchReads: a look at ids finds the rows that have them, each once, and searches no
// other month, however many months there are, however many rows are between those ids, and though
// the statements are older than the rows.
func TestWhatABatchReads(t *testing.T) {
	db := testbed.Postgres(t)
	testbed.EnsurePartitions(t, db.Connect(t, db.Writer), 24)
	this := monthStart(time.Now())
	events := newEvents(5000)
	for i := range events {
		events[i].ID = idAt(this.Add(time.Duration(i) * time.Second))
	}
	sent := slices.Concat(events[:250], events[4750:])
	isNew := len(sent) - 1

	w := newWriter(t, db)
	for range 10 { // PostgreSQL may keep a plan from the sixth time on
		store(t, w, true, sent[:250]...)
	}
	store(t, w, false, events[250:4999]...)

	before, after := map[string]read{}, map[string]read{}
	err := pgx.BeginFunc(t.Context(), w.conn, func(tx pgx.Tx) error {
		before = reads(t, tx)
		b := newWritePlan(sent, false)
		if err := b.lookThenCopy(t.Context(), tx); err != nil {
			return err
		}
		after = reads(t, tx)
		if !all(b.outcomes[:isNew], Duplicate) || b.outcomes[isNew] != Stored {
			t.Errorf("outcomes %v", b.outcomes)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	key := partitionName(this) + "_pkey"
	for name := range after {
		scans, rows := after[name].scans-before[name].scans, after[name].rows-before[name].rows
		switch {
		case name != key && scans > 0:
			t.Errorf("%s was searched %d times", name, scans)
		case name == key && (scans != len(sent)+isNew || rows != 2*isNew): // the look, and the comparison of what it found
			t.Errorf("%s was searched %d times for %d rows, want %d for %d", name, scans, rows, len(sent)+isNew, 2*isNew)
		}
	}
}

// read is how often a table was read whole, or an index searched, and the rows that this gave.
type read struct{ scans, rows int }

// reads returns what a connection has read of the events and PostgreSQL's statistics don't have
// yet, by table and index.
func reads(t *testing.T, tx pgx.Tx) map[string]read {
	t.Helper()
	list, err := tx.Query(t.Context(), `
		SELECT relname, pg_stat_get_xact_numscans(oid), pg_stat_get_xact_tuples_returned(oid)
		FROM pg_class WHERE relname LIKE 'log_events%' AND relkind IN ('r', 'i')`)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]read{}
	var name string
	var r read
	if _, err := pgx.ForEachRow(list, []any{&name, &r.scans, &r.rows}, func() error { all[name] = r; return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}
