package partitions

import (
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/partitions/attach"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestAttach undoes a detach without a trace, under load, and with the events that came meanwhile.
func TestAttach(t *testing.T) { inBothWays(t, testAttach) }

func testAttach(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 1000)
	owner := db.Connect(t, db.Owner)
	before := describe(t, owner, m.Table())
	s, w := open(t, db, Options{}), writer(t, db)
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{late(m.Start().Add(time.Hour)), late(m.End().Add(-time.Second))}, false))

	load := startLoad(t, db, 2, 50)
	load.await(t, 10)
	load.during(t, "attach", func() { must[[]attach.Attachment](t)(s.Attach(t.Context(), m)) })
	if got, want := states(t, s), m.String()+":attached:1002 default:0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if after := describe(t, owner, m.Table()); after != before {
		t.Errorf("it is attached as\n%s\nand was\n%s", after, before)
	}
	if _, err := s.Attach(t.Context(), m); err == nil || !strings.Contains(err.Error(), "is attached") {
		t.Errorf("again: %v", err)
	}
}

// TestAttachRefuses a table whose rows are of another month: it stays as it is, and can still be
// dropped.
func TestAttachRefuses(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 3)
	s := open(t, db, Options{})
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	run(t, db.Connect(t, db.Owner), "UPDATE "+m.Table()+" SET event_id = 'ffffffff-ffff-7fff-bfff-ffffffffffff' WHERE event_id = (SELECT event_id FROM "+m.Table()+" LIMIT 1)")
	if _, err := s.Attach(t.Context(), m); store.SQLState(err) != "23514" {
		t.Errorf("%v, want 23514 (check_violation)", err)
	}
	must[[]month.Month](t)(s.DropWithoutExport(t.Context(), m))
}

// TestAttachAddsColumns to a month that was detached before the trail had them.
func TestAttachAddsColumns(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 3)
	owner := db.Connect(t, db.Owner)
	s, w := open(t, db, Options{}), writer(t, db)
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	run(t, owner, "ALTER TABLE "+m.Table()+" DROP COLUMN received_from")
	named := late(m.Start().Add(time.Hour))
	named.ReceivedFrom = "billing"
	must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{named}, false))
	must[[]attach.Attachment](t)(s.Attach(t.Context(), m))
	if n := value[int](t, owner, "SELECT count(received_from) + count(*) FROM "+m.Table()); n != 1+4 {
		t.Errorf("%d rows and senders, want 5", n)
	}
}

// TestAttachBeforeSources: a month that was detached before events could be without a session takes
// such events that came meanwhile, and compares them as the writer does.
func TestAttachBeforeSources(t *testing.T) { inBothWays(t, testAttachBeforeSources) }

func testAttachBeforeSources(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 3)
	owner := db.Connect(t, db.Owner)
	s, w := open(t, db, Options{}), writer(t, db)
	record := func(n int, payload string) event.Event {
		e := late(m.Start().Add(time.Duration(n) * time.Hour))
		e.SessionID, e.Source, e.Payload = 0, &event.Source{Name: "in/a"}, []byte(payload)
		return e
	}
	again, differs := record(1, `{"unsigned":1}`), record(2, `{"a":1}`)
	must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{again, differs}, false))
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	run(t, owner, "ALTER TABLE "+m.Table()+" DROP COLUMN source_id")
	again.Payload, differs.Payload = []byte(`{"_trailpost":1}`), []byte(`{"a":2}`)
	must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{again, differs, record(3, `{}`)}, false))
	got := must[[]attach.Attachment](t)(s.Attach(t.Context(), m))[0]
	if got.Late != 1 || got.Duplicates != 1 || len(got.Conflicts) != 1 || got.Conflicts[0] != differs.ID {
		t.Errorf("%+v, want one late, one duplicate, and %s in conflict", got, differs.ID)
	}

	// As it would be from before: all have a session, and none may be without.
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	run(t, owner, "UPDATE "+m.Table()+" SET session_id = 1")
	run(t, owner, "ALTER TABLE "+m.Table()+" ALTER COLUMN session_id SET NOT NULL, DROP COLUMN source, DROP COLUMN source_id")
	must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{record(4, `{}`)}, false))
	if got := must[[]attach.Attachment](t)(s.Attach(t.Context(), m))[0]; got.Late != 1 {
		t.Errorf("%+v, want one late", got)
	}
	must[[]store.Outcome](t)(w.Store(t.Context(), []event.Event{record(5, `{}`)}, false))
}

// TestDropEventKeys in slices, and none that a sender may still repeat.
func TestDropEventKeys(t *testing.T) {
	db := testbed.Postgres(t)
	owner := db.Connect(t, db.Owner)
	s := open(t, db, Options{MinAge: MinAge(40 * 24 * time.Hour)})
	run(t, owner, `INSERT INTO event_keys SELECT sha256(n::text::bytea), gen_random_uuid(),
		now() - CASE WHEN n <= 2 THEN interval '40 days' ELSE interval '42 days' END FROM generate_series(1, 25002) n`)
	if n := must[int64](t)(s.DropEventKeys(t.Context())); n != 25_000 {
		t.Errorf("dropped %d, want 25,000", n)
	}
	if n := value[int](t, owner, "SELECT count(*) FROM event_keys"); n != 2 {
		t.Errorf("%d left, want 2", n)
	}
}
