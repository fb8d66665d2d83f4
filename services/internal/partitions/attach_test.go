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
