package partitions

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/partitions/attach"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// exchanging has every default partition exchanged, in small slices.
func exchanging(t *testing.T) {
	t.Helper()
	bytes, rows := fewBytes, sliceRows
	fewBytes, sliceRows = -1, 7
	t.Cleanup(func() { fewBytes, sliceRows = bytes, rows })
}

// inBothWays runs a test of attach with a default partition that is small, and with one that is
// large.
func inBothWays(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Run("few", test)
	t.Run("many", func(t *testing.T) {
		exchanging(t)
		test(t)
	})
}

// TestAttachWithRepeats: events of a detached month that came again are its own again, those of its
// ids with other content are set aside, and the month comes back.
func TestAttachWithRepeats(t *testing.T) { inBothWays(t, testAttachWithRepeats) }

func testAttachWithRepeats(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	owner := db.Connect(t, db.Owner)
	s, w := open(t, db, Options{}), writer(t, db)
	stored := make([]event.Event, 30)
	for i := range stored {
		stored[i] = late(m.Start().Add(time.Duration(i) * time.Hour))
		if i%2 == 0 {
			stored[i].Username = "ada"
		}
	}
	must[[]store.Outcome](t)(w.Store(t.Context(), stored, false))
	must[int](t)(s.Ensure(t.Context(), 3))
	const content = "SELECT md5(string_agg(e::text, '|' ORDER BY event_id)) FROM "
	before := value[string](t, owner, content+m.Table()+" e")
	must[[]month.Month](t)(s.Detach(t.Context(), year))

	// They come again, when nobody can know that the trail had them.
	again := append([]event.Event(nil), stored[:20]...)
	for i := range again {
		again[i].ReceivedAt = again[i].ReceivedAt.Add(time.Minute) // which is the producer's, and not compared
	}
	others := append([]event.Event(nil), stored[20:25]...)
	for i, change := range []func(e *event.Event){
		func(e *event.Event) { e.Payload = []byte(`{"changed": 12345678901234567890.10}`) },
		func(e *event.Event) { e.SessionID = 2 },
		func(e *event.Event) { e.Type = "other" },
		func(e *event.Event) { e.Username = "eve" },
		func(e *event.Event) { e.Timestamp = e.Timestamp.Add(time.Microsecond) },
	} {
		change(&others[i])
	}
	fresh := []event.Event{late(m.Start().Add(30 * time.Minute)), late(m.End().Add(-time.Second))}
	elsewhere := late(m.Start().AddDate(-5, 0, 0)) // stays in the default partition: before 2020, or not made yet
	elsewhere.ID = uuid.Max
	for _, batch := range [][]event.Event{again, others, fresh, {elsewhere}} {
		for i, o := range must[[]store.Outcome](t)(w.Store(t.Context(), batch, false)) {
			if o != store.Stored {
				t.Fatalf("%s is %v: the month is not detached", batch[i].ID, o)
			}
		}
	}
	rows := value[[]string](t, owner, "SELECT array_agg(row_to_json(e)::text ORDER BY event_id) FROM log_events e WHERE event_id = ANY ($1)", ids(others))

	done := must[[]attach.Attachment](t)(s.Attach(t.Context(), m))
	if len(done) != 1 || done[0].Month != m || done[0].Late != 2 || done[0].Duplicates != 20 || fmt.Sprint(done[0].Conflicts) != fmt.Sprint(ids(others)) {
		t.Errorf("attached: %+v\nwant 2 late events, 20 duplicates, conflicts %v", done, ids(others))
	}
	if got, want := states(t, s), m.String()+":attached:32 default:1"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if after := value[string](t, owner, content+m.Table()+" e WHERE NOT event_id = ANY ($1)", ids(fresh)); after != before {
		t.Error("the month's own events are others")
	}
	if got := value[[]string](t, owner, "SELECT array_agg(event::text ORDER BY event_id) FROM log_events_conflicts WHERE month = $1", m.Start()); fmt.Sprint(got) != fmt.Sprint(rows) {
		t.Errorf("set aside:\n%s\nwant\n%s", got, rows)
	}
	if n := value[int](t, owner, "SELECT count(*) FROM log_events_conflicts c, json_populate_record(NULL::log_events, c.event) e WHERE e.tx = c.tx AND e.event_id = c.event_id"); n != 5 {
		t.Errorf("%d of what was set aside are events again, want 5", n)
	}
	record := value[string](t, owner, "SELECT concat_ws(' ', to_char(month, 'YYYY-MM'), late_events, duplicates, conflicts, attached_by) FROM attached_months")
	if want := fmt.Sprintf("%s 2 20 5 %s", m, db.Owner.Name); record != want {
		t.Errorf("attached_months: %s, want %s", record, want)
	}
	// It is as if the month had been there all the time.
	for i, o := range must[[]store.Outcome](t)(w.Store(t.Context(), append(again, others...), true)) {
		if want := map[bool]store.Outcome{true: store.Duplicate, false: store.Reused}[i < len(again)]; o != want {
			t.Errorf("event %d once more: %v, want %v", i, o, want)
		}
	}
	if left := value[string](t, owner, leftovers); left != "" {
		t.Errorf("left over: %s", left)
	}
	// And once more, for which what was set aside is in nobody's way.
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	must[[]store.Outcome](t)(w.Store(t.Context(), others, false))
	if done := must[[]attach.Attachment](t)(s.Attach(t.Context(), m)); len(done) != 1 || len(done[0].Conflicts) != 5 {
		t.Errorf("the second time: %+v", done)
	}
	if n := value[int](t, owner, "SELECT count(*) FROM log_events_conflicts"); n != 10 {
		t.Errorf("%d are set aside, want 10", n)
	}
}

// leftovers names what an attach that did not come to its end leaves.
const leftovers = `SELECT coalesce(string_agg(name, ' ' ORDER BY name), '') FROM (
	SELECT relname::text FROM pg_class WHERE relname ~ '_(next|former)'
	UNION ALL SELECT conname::text FROM pg_constraint WHERE conname = 'month_of_events' OR conname ~ '^of_no_month'
	UNION ALL SELECT 'lock ' || mode FROM pg_locks WHERE relation = 'attached_months'::regclass AND mode = 'ShareUpdateExclusiveLock'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) l (name)`

func ids(events []event.Event) []uuid.UUID {
	list := make([]uuid.UUID, len(events))
	for i := range events {
		list[i] = events[i].ID
	}
	return list
}

// describe is all that the catalogs say of a table but its OID.
func describe(t *testing.T, conn *pgx.Conn, table string) string {
	t.Helper()
	return value[string](t, conn, `
		SELECT string_agg(line, E'\n' ORDER BY line) FROM (
			SELECT concat_ws(' ', 'constraint', conname, contype, pg_get_constraintdef(oid), conparentid <> 0, convalidated, conislocal, coninhcount) AS line FROM pg_constraint WHERE conrelid = $1::regclass
			UNION ALL SELECT concat_ws(' ', 'index', pg_get_indexdef(indexrelid), EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid), indisvalid, c.reloptions) FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid = $1::regclass
			UNION ALL SELECT concat_ws(' ', 'table', pg_get_expr(relpartbound, oid), obj_description(oid), relowner::regrole, relacl, reloptions, relpersistence, relreplident) FROM pg_class WHERE oid = $1::regclass
			UNION ALL SELECT concat_ws(' ', 'column', attnum, attname, atttypid::regtype, atttypmod, attnotnull, attstorage, attislocal, attinhcount, attacl, pg_get_expr(adbin, adrelid)) FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = $1::regclass AND attnum > 0
			UNION ALL SELECT concat_ws(' ', 'trigger', tgfoid::regproc, count(*)) FROM pg_trigger WHERE tgrelid = $1::regclass GROUP BY tgfoid) all_of_it`, table)
}

// TestExchangeIsWithoutATrace: the new default partition is as the former one, to the names of its
// indexes and what somebody has granted on it.
func TestExchangeIsWithoutATrace(t *testing.T) {
	exchanging(t)
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 50)
	owner := db.Connect(t, db.Owner)
	for _, statement := range []string{
		"GRANT SELECT ON log_events_default TO trailpost_reader WITH GRANT OPTION", "GRANT SELECT (event_id) ON log_events_default TO PUBLIC",
		"ALTER TABLE log_events_default SET (autovacuum_vacuum_scale_factor = 0.03, fillfactor = 90)", "COMMENT ON TABLE log_events_default IS 'what is late'",
		"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO trailpost_writer",
	} {
		run(t, owner, statement)
	}
	before, monthBefore := describe(t, owner, "log_events_default"), describe(t, owner, m.Table())
	s, w := open(t, db, Options{}), writer(t, db)
	for range 2 {
		must[[]month.Month](t)(s.Detach(t.Context(), year))
		for range 20 {
			must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{late(m.Start().Add(time.Hour)), late(m.End().AddDate(100, 0, 0))}, false))
		}
		must[[]attach.Attachment](t)(s.Attach(t.Context(), m))
		if after := describe(t, owner, "log_events_default"); after != before {
			t.Errorf("the default partition is\n%s\nand was\n%s", after, before)
		}
		if after := describe(t, owner, m.Table()); after != monthBefore {
			t.Errorf("the month is\n%s\nand was\n%s", after, monthBefore)
		}
	}
	if got, want := states(t, s), m.String()+":attached:90 default:40"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if n := value[int](t, db.Connect(t, db.Reader), "SELECT default_partition_rows()"); n != 40 {
		t.Errorf("default_partition_rows() = %d", n)
	}
	// The next month is made as ever.
	must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{late(old(16).Start())}, false))
	if made := must[int](t)(s.Ensure(t.Context(), 3)); made != 1 {
		t.Errorf("%d partitions made", made)
	}
}
