package partitions

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/partitions/attach"
	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestExchangeRefusesDependents: what names the default partition would go on with the former one,
// which nobody writes to. So it is named, and nothing is exchanged.
func TestExchangeRefusesDependents(t *testing.T) {
	exchanging(t)
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 10)
	owner := db.Connect(t, db.Owner)
	s, w := open(t, db, Options{}), writer(t, db)
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{late(m.Start())}, false))
	before := value[uint32](t, owner, "SELECT 'log_events_default'::regclass::oid")
	objects := []struct{ name, make, drop string }{
		{"view public.its_view", "CREATE VIEW its_view AS SELECT event_id FROM log_events_default", "VIEW its_view"},
		{"materialized view public.its_copy", "CREATE MATERIALIZED VIEW its_copy AS SELECT count(*) FROM log_events_default", "MATERIALIZED VIEW its_copy"},
		{"function public.its_function()", "CREATE FUNCTION its_function() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM log_events_default; END", "FUNCTION its_function"},
		{"function public.of_its_row(public.log_events_default)", "CREATE FUNCTION of_its_row(log_events_default) RETURNS int LANGUAGE sql AS 'SELECT 1'", "FUNCTION of_its_row"},
		{"column one of table public.of_its_rows", "CREATE TABLE of_its_rows (one log_events_default[])", "TABLE of_its_rows"},
		{"on table public.notes", "CREATE TABLE notes (event_id uuid REFERENCES log_events_default)", "TABLE notes"},
		{"rule its_rule on table public.others", "CREATE TABLE others (n int); CREATE RULE its_rule AS ON INSERT TO others DO ALSO SELECT FROM log_events_default", "TABLE others"},
		{"publication its_publication", "CREATE PUBLICATION its_publication FOR TABLE log_events_default", "PUBLICATION its_publication"},
		{"rule its_own on table", "CREATE RULE its_own AS ON DELETE TO log_events_default DO ALSO NOTHING", "RULE its_own ON log_events_default"},
		{"trigger its_trigger on table", "CREATE TRIGGER its_trigger BEFORE UPDATE ON log_events_default FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()", "TRIGGER its_trigger ON log_events_default"},
		{"policy its_policy on table", "CREATE POLICY its_policy ON log_events_default USING (session_id > 0)", "POLICY its_policy ON log_events_default"},
		{"index public.its_index", "CREATE INDEX its_index ON log_events_default (username)", "INDEX its_index"},
	}
	for _, o := range objects {
		run(t, owner, o.make)
	}
	run(t, owner, "ALTER TABLE log_events_default ADD CONSTRAINT its_constraint CHECK (session_id > 0)")
	_, err := s.Attach(t.Context(), m)
	if err == nil {
		t.Fatal("it was exchanged")
	}
	for _, o := range objects {
		if !strings.Contains(err.Error(), o.name) {
			t.Errorf("no %q in %v", o.name, err)
		}
		run(t, owner, "DROP "+o.drop)
	}
	if !strings.Contains(err.Error(), "constraint its_constraint on table") || strings.Contains(err.Error(), "pkey") || strings.Contains(err.Error(), "_type_check") {
		t.Errorf("%v, want one that names the constraint, and none that it has of the trail", err)
	}
	if oid := value[uint32](t, owner, "SELECT 'log_events_default'::regclass::oid"); oid != before {
		t.Error("there is another default partition")
	}
	run(t, owner, "ALTER TABLE log_events_default DROP CONSTRAINT its_constraint")
	must[[]attach.Attachment](t)(s.Attach(t.Context(), m))
}

// TestExchangeKeepsDependentsOfTheTrail: what is made for log_events as a whole is for every
// partition, and in nobody's way.
func TestExchangeKeepsDependentsOfTheTrail(t *testing.T) {
	exchanging(t)
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 10)
	owner := db.Connect(t, db.Owner)
	s, w := open(t, db, Options{}), writer(t, db)
	for _, statement := range []string{
		"CREATE VIEW a_view AS SELECT event_id FROM log_events", "CREATE PUBLICATION a_publication FOR TABLE log_events",
		"CREATE TABLE notes (event_id uuid REFERENCES log_events)", "CREATE INDEX an_index ON log_events (username)",
		"CREATE TRIGGER a_trigger BEFORE UPDATE ON log_events FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
		"CREATE STATISTICS a_statistic ON event_type, username FROM log_events", "ALTER TABLE log_events ADD CONSTRAINT a_check CHECK (session_id > 0)",
		"CREATE POLICY a_policy ON log_events USING (session_id > 0)",
	} {
		run(t, owner, statement)
	}
	before := describe(t, owner, "log_events_default")
	for range 2 {
		must[[]month.Month](t)(s.Detach(t.Context(), year))
		must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{late(m.Start()), late(m.End().AddDate(100, 0, 0))}, false))
		must[[]attach.Attachment](t)(s.Attach(t.Context(), m))
		if after := describe(t, owner, "log_events_default"); after != before {
			t.Errorf("the default partition is\n%s\nand was\n%s", after, before)
		}
	}
	if n := value[int](t, owner, "SELECT count(*) FROM a_view"); n != 14 {
		t.Errorf("the view shows %d events, want 14", n)
	}
}

// TestExchangeLooksOnceMore at what depends on the default partition, when nobody can add to it.
func TestExchangeLooksOnceMore(t *testing.T) {
	exchanging(t)
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 10)
	owner := db.Connect(t, db.Owner)
	s := open(t, db, Options{})
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	t.Cleanup(func() { failpoint = func(string) {} })
	failpoint = func(step string) {
		if step == "copied" {
			run(t, owner, "CREATE VIEW its_view AS SELECT event_id FROM log_events_default")
		}
	}
	if _, err := s.Attach(t.Context(), m); err == nil || !strings.Contains(err.Error(), "view public.its_view") {
		t.Errorf("%v, want one that names the view", err)
	}
	failpoint = func(string) {}
	run(t, owner, "DROP VIEW its_view")
	must[[]attach.Attachment](t)(s.Attach(t.Context(), m))
	if left := value[string](t, owner, leftovers); left != "" {
		t.Errorf("left over: %s", left)
	}
}

// TestFormerDefaultIsKept for what depends on it by the time that it is compared, and all the rest
// is done: the attach, its row of attached_months, and every other command.
func TestFormerDefaultIsKept(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(map[bool]string{false: "at once", true: "after a kill"}[killed], func(t *testing.T) { testFormerDefaultIsKept(t, killed) })
	}
}

func testFormerDefaultIsKept(t *testing.T, killed bool) {
	exchanging(t)
	db := testbed.Postgres(t)
	m, another := old(14), old(15)
	makeMonth(t, db, another, 3)
	makeMonth(t, db, m, 10)
	owner := db.Connect(t, db.Owner)
	var log bytes.Buffer
	s, w := open(t, db, Options{}), writer(t, db)
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	waiting := []event.Event{late(m.Start()), late(m.End().AddDate(100, 0, 0))}
	must[[]store.Outcome](t)(w.Store(t.Context(), waiting, false))
	depend := func() { run(t, owner, "CREATE VIEW its_view AS SELECT * FROM log_events_default_former") }
	opts := Options{Patience: 3 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if killed {
		killAt(t, db, "exchanged", manyVariable+"="+m.String())
		depend()
	} else {
		t.Cleanup(func() { failpoint = func(string) {} })
		failpoint = func(step string) {
			if step == "exchanged" {
				depend()
			}
		}
	}
	s = open(t, db, opts)
	done := must[[]attach.Attachment](t)(s.Attach(t.Context(), m))
	failpoint = func(string) {}
	if len(done) != 1 || done[0].Month != m || done[0].Late != 1 {
		t.Errorf("attached: %+v", done)
	}
	if !strings.Contains(log.String(), "view public.its_view") {
		t.Errorf("the log does not name the view:\n%s", &log)
	}
	record := func() string {
		return value[string](t, owner, "SELECT string_agg(concat_ws(' ', to_char(month, 'YYYY-MM'), late_events, duplicates, conflicts), ', ' ORDER BY attached_at) FROM attached_months")
	}
	if got, want := record(), m.String()+" 1 0 0"; got != want {
		t.Errorf("attached_months: %s, want %s", got, want)
	}
	if _, err := owner.Exec(t.Context(), "INSERT INTO its_view SELECT * FROM log_events LIMIT 1"); store.SQLState(err) != "23514" {
		t.Errorf("storing by the view what nobody would compare: %v, want 23514", err)
	}

	// In the same session, and in others: an exchange says what is in its way, and everything else
	// works.
	for range 2 {
		if _, err := s.Attach(t.Context(), another); err == nil || !strings.Contains(err.Error(), "view public.its_view") {
			t.Errorf("another exchange: %v, want one that names the view", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, db, opts)
	}
	fewBytes = 1 << 30
	must[int](t)(s.Ensure(t.Context(), 3))
	must[[]attach.Attachment](t)(s.Attach(t.Context(), another))
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	must[[]export.Manifest](t)(s.Export(t.Context(), t.TempDir()))
	must[[]month.Month](t)(s.Retire(t.Context(), t.TempDir(), year))
	if got, want := states(t, s), another.String()+":dropped:3 "+m.String()+":dropped:11 default:1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// Whichever command comes after the view is gone drops the table, and stores nothing of it
	// again.
	run(t, owner, "DROP VIEW its_view")
	must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{late(m.Start())}, false))
	s = open(t, db, opts)
	must[int](t)(s.Ensure(t.Context(), 3))
	must[[]month.Month](t)(s.Retire(t.Context(), t.TempDir(), year))
	if left := value[string](t, owner, leftovers); left != "" {
		t.Errorf("left over: %s", left)
	}
	if got, want := states(t, s), another.String()+":dropped:3 "+m.String()+":dropped:11 "+m.String()+":dropped:1 default:1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := record(), m.String()+" 1 0 0, "+another.String()+" 0 0 0"; got != want {
		t.Errorf("attached_months: %s, want %s", got, want)
	}
}

// TestUndoNamesDependents of the copies that an attach has left that was killed.
func TestUndoNamesDependents(t *testing.T) {
	db := testbed.Postgres(t)
	m, dir := old(14), t.TempDir()
	makeMonth(t, db, m, 10)
	owner := db.Connect(t, db.Owner)
	s := open(t, db, Options{})
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	killAt(t, db, "next made", manyVariable+"="+m.String())
	run(t, owner, "CREATE VIEW its_view AS SELECT event_id FROM "+attach.NextDefault)
	s = open(t, db, Options{})
	if _, err := s.Export(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "view public.its_view") {
		t.Errorf("%v, want one that names the view", err)
	}
	run(t, owner, "DROP VIEW its_view")
	must[[]export.Manifest](t)(s.Export(t.Context(), dir))
}
