package partitions

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/partitions/attach"
	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// The process that TestKilledRetire and TestKilledAttach kill is the test binary itself.
const (
	stepVariable = "TRAILPOST_PARTITIONS_STEP" // where it ends
	manyVariable = "TRAILPOST_PARTITIONS_MANY" // the month that it attaches, with an exchange; "": it retires
	dsnVariable  = "TRAILPOST_PARTITIONS_DSN"
	dirVariable  = "TRAILPOST_PARTITIONS_DIR"
)

// workUntilKilled retires or attaches, and kills this very process at the step.
func workUntilKilled() int {
	failpoint = func(step string) {
		if step == os.Getenv(stepVariable) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // until it comes
		}
	}
	ctx := context.Background()
	cc, err := pgx.ParseConfig(os.Getenv(dsnVariable))
	if err == nil {
		var s *Session
		if s, err = Open(ctx, cc, Options{}); err == nil {
			if m, parseErr := month.Parse(os.Getenv(manyVariable)); parseErr == nil {
				fewBytes, sliceRows = -1, 7
				_, err = s.Attach(ctx, m)
			} else {
				_, err = s.Retire(ctx, os.Getenv(dirVariable), year)
			}
		}
	}
	fmt.Fprintln(os.Stderr, "not killed:", err)
	return 1
}

// killAt has another process work until the step.
func killAt(t *testing.T, db testbed.DB, step string, env ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), must[string](t)(os.Executable()))
	cmd.Env = append(os.Environ(), append(env, stepVariable+"="+step, dsnVariable+"="+db.DSN(db.Owner))...)
	out, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
		t.Fatalf("it was not killed: %v\n%s", err, out)
	}
}

// TestKilledRetire: wherever a retire is killed, every event is in its table or in an export that
// counts, and the next retire brings it to the same end.
func TestKilledRetire(t *testing.T) {
	for _, step := range []string{
		"detached", "file written", "file synced", "file compared", "file named", "manifest written", "manifest named", "dropping", "dropped",
	} {
		t.Run(step, func(t *testing.T) {
			db := testbed.Postgres(t)
			dir, m := t.TempDir(), old(14)
			const rows = 1500
			makeMonth(t, db, m, rows)

			killAt(t, db, step, dirVariable+"="+dir)

			owner := db.Connect(t, db.Owner)
			there := value[bool](t, owner, "SELECT to_regclass($1) IS NOT NULL", m.Table())
			if there != (step != "dropped") {
				t.Errorf("the table is there: %v", there)
			}
			if there {
				if n := value[int](t, owner, "SELECT count(*) FROM "+m.Table()); n != rows {
					t.Errorf("%d rows after the kill", n)
				}
			}
			if n := value[int](t, owner, "SELECT count(*) FROM retired_months"); (n == 1) == there {
				t.Errorf("the table is there: %v, and retired_months has %d rows", there, n)
			}

			s := open(t, db, Options{})
			must[[]month.Month](t)(s.Retire(t.Context(), dir, year))
			if got, want := files(t, dir), m.Table()+".manifest.json "+m.Table()+".ndjson.zst"; got != want {
				t.Errorf("in the directory: %s\nwant %s", got, want)
			}
			verified := 0
			err := export.Verify(dir, []month.Month{m}, nil, func(v export.Verified) error {
				verified++
				if v.Fault != nil || v.Rows != rows {
					t.Errorf("%+v", v)
				}
				return nil
			})
			if err != nil || verified != 1 {
				t.Errorf("%d exports, %v", verified, err)
			}
			retired := value[string](t, owner, "SELECT string_agg(concat_ws(' ', to_char(month, 'YYYY-MM'), event_count, export), ', ') FROM retired_months")
			if want := fmt.Sprintf("%s %d %s.ndjson.zst", m, rows, m.Table()); retired != want {
				t.Errorf("retired_months: %s, want %s", retired, want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*.partial")); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// TestKilledAttach: wherever an attach that exchanges the default partition is killed, every event
// is in the trail once, the next attach brings it to the same end, and a retire has in its file
// what was the month's own.
func TestKilledAttach(t *testing.T) {
	for _, step := range []string{"promised", "next made", "slice copied", "copied", "exchanged", "reconciling", "reconciled"} {
		t.Run(step, func(t *testing.T) {
			db := testbed.Postgres(t)
			m, another, dir := old(14), old(15), t.TempDir()
			makeMonth(t, db, another, 3)
			makeMonth(t, db, m, 40)
			owner := db.Connect(t, db.Owner)
			s, w := open(t, db, Options{}), writer(t, db)
			must[[]month.Month](t)(s.Detach(t.Context(), year))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			waiting := make([]event.Event, 30)
			for i := range waiting {
				waiting[i] = late([]month.Month{m, m, another}[i%3].Start().Add(time.Duration(i) * time.Hour))
			}
			reused := waiting[0]
			reused.ID, reused.Type = value[[16]byte](t, owner, "SELECT event_id FROM "+m.Table()+" ORDER BY event_id LIMIT 1"), "other"
			must[[]store.Outcome](t)(w.Store(t.Context(), slices.Concat(waiting, []event.Event{reused}), false))

			killAt(t, db, step, manyVariable+"="+m.String())
			attached := step == "exchanged" || step == "reconciling" || step == "reconciled"
			seen := value[int](t, owner, "SELECT count(*) FROM log_events WHERE event_id = ANY ($1)", append(ids(waiting), reused.ID))
			if all := value[int](t, owner, "SELECT count(*) FROM log_events"); seen != 31 || all != map[bool]int{false: 31, true: 70}[attached] {
				t.Errorf("%d of 31 events are in the trail, and %d in all", seen, all)
			}
			for i, o := range must[[]store.Outcome](t)(w.Store(t.Context(), waiting, true)) {
				if o != store.Duplicate {
					t.Errorf("event %d again: %v", i, o)
				}
			}

			if !attached {
				// The other month takes its place, makes no use of what is there, and leaves no
				// trace of it.
				s = open(t, db, Options{})
				exchanging(t)
				must[[]attach.Attachment](t)(s.Attach(t.Context(), another))
				must[[]export.Manifest](t)(s.Export(t.Context(), dir, m))
				if n := must[*export.Manifest](t)(export.PathOf(dir, m, 1).ReadManifest()).Rows; n != 40 {
					t.Errorf("the export has %d events, want the month's own 40", n)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			s = open(t, db, Options{})
			done, err := s.Attach(t.Context(), m)
			switch {
			case step == "reconciled":
				if err == nil || !strings.Contains(err.Error(), "is attached") {
					t.Errorf("again: %v", err)
				}
			case err != nil:
				t.Error(err)
			case len(done) != 1 || done[0].Late != 20 || done[0].Duplicates != 0 || len(done[0].Conflicts) != 1:
				t.Errorf("attached: %+v", done)
			}
			if !attached && !strings.Contains(states(t, s), another.String()+":attached:13") {
				t.Errorf("the other month: %s", states(t, s))
			}
			if n := value[int](t, owner, "SELECT count(*) FROM log_events"); n != map[bool]int{false: 73, true: 70}[attached] {
				t.Errorf("%d events in the trail: %s", n, states(t, s))
			}
			if n := value[int](t, owner, "SELECT count(*) FROM "+m.Table()); n != 60 {
				t.Errorf("%d events in the month, want 60", n)
			}
			record := value[string](t, owner, "SELECT string_agg(concat_ws(' ', late_events, duplicates, conflicts), ', ') FROM attached_months WHERE month = $1", m.Start())
			if record != "20 0 1" {
				t.Errorf("attached_months: %s", record)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "nothing is left over", func() bool { return value[string](t, owner, leftovers) == "" })
		})
	}
}
