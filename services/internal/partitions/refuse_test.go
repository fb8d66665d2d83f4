package partitions

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

const day = 24 * time.Hour

func TestMinAge(t *testing.T) {
	for eventIDMaxAge, want := range map[time.Duration]time.Duration{time.Hour: 31 * day, 30 * day: 31 * day, 90 * day: 91 * day} {
		if got := MinAge(eventIDMaxAge); got != want {
			t.Errorf("MinAge(%v) = %v, want %v", eventIDMaxAge, got, want)
		}
	}
}

// TestYoungMonthsStay: no month goes while its events may be retried, by whichever way.
func TestYoungMonthsStay(t *testing.T) {
	db := testbed.Postgres(t)
	dir := t.TempDir()
	for _, tc := range []struct {
		least, asked time.Duration
		want         string
	}{
		{0, 31*day - time.Second, "at least 31d, not"},
		{time.Hour, 30 * day, "at least 31d, not 30d"},
		{91 * day, 90 * day, "at least 91d, not 90d"},
	} {
		s := open(t, db, Options{MinAge: tc.least})
		_, detachErr := s.Detach(t.Context(), tc.asked)
		_, retireErr := s.Retire(t.Context(), dir, tc.asked)
		for _, err := range []error{detachErr, retireErr} {
			if _, ok := errors.AsType[*TooYoungError](err); !ok || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v of at least %v: %v", tc.asked, tc.least, err)
			}
		}
	}

	// One that somebody detached by hand can be exported, and is not dropped.
	m := old(1)
	run(t, db.Connect(t, db.Owner), "ALTER TABLE log_events DETACH PARTITION "+m.Table())
	s := open(t, db, Options{})
	must[[]export.Manifest](t)(s.Export(t.Context(), dir))
	_, dropErr := s.Drop(t.Context(), dir)
	_, lossErr := s.DropWithoutExport(t.Context(), m)
	for _, err := range []error{dropErr, lossErr} {
		if _, ok := errors.AsType[*TooYoungError](err); !ok {
			t.Errorf("%s was not too young: %v", m, err)
		}
	}
	if _, err := s.Ensure(t.Context(), 3); err == nil || !strings.Contains(err.Error(), m.Table()+" is detached") {
		t.Errorf("ensure beside it: %v", err)
	}
}

// TestWhollyOlder: a month is as old as its youngest event may be.
func TestWhollyOlder(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 1)
	s := open(t, db, Options{})
	age := time.Since(m.End())
	for asked, want := range map[time.Duration]int{age - time.Hour: 1, age + time.Hour: 0} {
		if older := must[[]Partition](t)(s.Older(t.Context(), asked)); len(older) != want {
			t.Errorf("older than %v: %v", asked, older)
		}
	}
}

// TestOnlyTheOwner may do any of it: neither the commands nor their SQL work for another.
func TestOnlyTheOwner(t *testing.T) {
	db := testbed.Postgres(t)
	attached, detached := old(14), old(15)
	makeMonth(t, db, detached, 3)
	must[[]month.Month](t)(open(t, db, Options{}).Detach(t.Context(), year))
	makeMonth(t, db, attached, 3)
	for _, login := range []testbed.Login{db.Writer, db.Reader} {
		if _, err := Open(t.Context(), db.ConnConfig(login), Options{}); !errors.Is(err, ErrNotOwner) {
			t.Errorf("%s: %v, want ErrNotOwner", login.Name, err)
		}
		conn := db.Connect(t, login)
		for _, statement := range []string{
			"ALTER TABLE log_events DETACH PARTITION " + attached.Table(), "DROP TABLE " + attached.Table(), "TRUNCATE " + attached.Table(),
			"SELECT FROM " + detached.Table(), "DELETE FROM " + detached.Table(), "INSERT INTO " + detached.Table() + " DEFAULT VALUES",
			"ALTER TABLE log_events ATTACH PARTITION " + detached.Table() + " DEFAULT", "DROP TABLE " + detached.Table(),
			"INSERT INTO retired_months (month, event_count) VALUES ('2020-01-01', 0)", "DELETE FROM retired_months",
			"UPDATE retired_months SET event_count = 0", "TRUNCATE retired_months",
		} {
			if _, err := conn.Exec(t.Context(), statement); store.SQLState(err) != "42501" {
				t.Errorf("as %s, %s: %v, want 42501 (insufficient_privilege)", login.Name, statement, err)
			}
		}
		run(t, conn, "SELECT FROM retired_months")
	}
	if got, want := states(t, open(t, db, Options{})), detached.String()+":detached:3 "+attached.String()+":attached:3 default:0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	empty := testbed.EmptyPostgres(t)
	if _, err := Open(t.Context(), empty.ConnConfig(empty.Owner), Options{}); err == nil || !strings.Contains(err.Error(), "migrate up") {
		t.Errorf("without a schema: %v", err)
	}
}

// TestDropNeedsTheExport that has what the table has, now.
func TestDropNeedsTheExport(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 50)
	owner := db.Connect(t, db.Owner)
	s, dir := open(t, db, Options{}), t.TempDir()
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	p := export.PathOf(dir, m, 1)
	refused := func(what, want string) {
		t.Helper()
		if done, err := s.Drop(t.Context(), dir, m); err == nil || !strings.Contains(err.Error(), want) || len(done) > 0 {
			t.Errorf("%s: %v, %v, want %q", what, done, err, want)
		}
	}
	refused("without an export", "export it first")
	must[[]export.Manifest](t)(s.Export(t.Context(), dir))

	// A file without its manifest does not count.
	manifest := must[[]byte](t)(os.ReadFile(p.Manifest()))
	file := must[[]byte](t)(os.ReadFile(p.File()))
	write := func(path string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(p.Manifest()); err != nil {
		t.Fatal(err)
	}
	refused("without the manifest", "export it first")
	write(p.Manifest(), []byte(strings.Replace(string(manifest), `"rows": 50`, `"rows": 51`, 1)))
	refused("with another manifest", "says otherwise")
	write(p.Manifest(), manifest)

	write(p.File(), file[:len(file)/2])
	refused("with half a file", "export it first")
	write(p.File(), file)

	var id, session string
	if err := owner.QueryRow(t.Context(), "SELECT max(event_id::text), max(session_id)::text FROM "+m.Table()).Scan(&id, &session); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{"SET event_type = 'other'", "SET payload = payload || '{\"n\": -1}'", "SET tx = tx + 1", "SET username = NULL"} {
		tx := must[pgx.Tx](t)(owner.Begin(t.Context()))
		_, err := tx.Exec(t.Context(), "CREATE TABLE kept AS TABLE "+m.Table())
		if err == nil {
			_, err = tx.Exec(t.Context(), "UPDATE "+m.Table()+" "+change+" WHERE username IS NOT NULL")
		}
		if err = errors.Join(err, tx.Commit(t.Context())); err != nil {
			t.Fatal(err)
		}
		refused(change, "export it first")
		run(t, owner, "TRUNCATE "+m.Table())
		run(t, owner, "INSERT INTO "+m.Table()+" TABLE kept")
		run(t, owner, "DROP TABLE kept")
	}
	run(t, owner, "DELETE FROM "+m.Table()+" WHERE event_id = $1", id)
	refused("with a row less", "export it first")

	// Then it is exported anew, beside the file that is of something else.
	must[[]export.Manifest](t)(s.Export(t.Context(), dir))
	must[[]month.Month](t)(s.Drop(t.Context(), dir))
	if got := value[string](t, owner, "SELECT concat(event_count, ' ', export) FROM retired_months"); got != "49 "+m.Table()+".2.ndjson.zst" {
		t.Errorf("retired_months: %s", got)
	}
}

func TestDropWithoutExport(t *testing.T) {
	db := testbed.Postgres(t)
	m := old(14)
	makeMonth(t, db, m, 5)
	s := open(t, db, Options{})
	if _, err := s.DropWithoutExport(t.Context(), m); err == nil || !strings.Contains(err.Error(), "is attached") {
		t.Errorf("an attached month: %v", err)
	}
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	if _, err := s.DropWithoutExport(t.Context()); err == nil {
		t.Error("of no month by name")
	}
	must[[]month.Month](t)(s.DropWithoutExport(t.Context(), m))
	owner := db.Connect(t, db.Owner)
	if !value[bool](t, owner, "SELECT event_count = 5 AND export IS NULL AND first_event_id < last_event_id FROM retired_months") {
		t.Error("retired_months says otherwise")
	}
}

// TestRetireNamesDependents of a month, which PostgreSQL would refuse to drop, before anything is
// done to it.
func TestRetireNamesDependents(t *testing.T) {
	db := testbed.Postgres(t)
	m, dir := old(14), t.TempDir()
	makeMonth(t, db, m, 10)
	owner := db.Connect(t, db.Owner)
	s := open(t, db, Options{})
	run(t, owner, "CREATE VIEW its_view AS SELECT event_id FROM "+m.Table())
	named := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "view public.its_view") {
			t.Errorf("%s: %v, want one that names the view", what, err)
		}
	}
	_, err := s.Retire(t.Context(), dir, year)
	named("retire", err)
	if got, want := states(t, s)+" "+files(t, dir), m.String()+":attached:10 default:0 "; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	must[[]month.Month](t)(s.Detach(t.Context(), year))
	must[[]export.Manifest](t)(s.Export(t.Context(), dir))
	_, err = s.Drop(t.Context(), dir)
	named("drop", err)
	_, err = s.DropWithoutExport(t.Context(), m)
	named("drop without an export", err)
	run(t, owner, "DROP VIEW its_view")
	must[[]month.Month](t)(s.Drop(t.Context(), dir))
}
