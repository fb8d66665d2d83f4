package partitions

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// The process that TestKilledRetire kills is the test binary itself.
const (
	stepVariable = "TRAILPOST_PARTITIONS_STEP" // where it ends
	dsnVariable  = "TRAILPOST_PARTITIONS_DSN"
	dirVariable  = "TRAILPOST_PARTITIONS_DIR"
)

// retireUntilKilled retires, and kills this very process at the step.
func retireUntilKilled() int {
	reached = func(step string) {
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
			_, err = s.Retire(ctx, os.Getenv(dirVariable), year)
		}
	}
	fmt.Fprintln(os.Stderr, "not killed:", err)
	return 1
}

// TestKilledRetire: wherever a retire is killed, every event is in its table or in an export that counts, and the next
// retire brings it to the same end.
func TestKilledRetire(t *testing.T) {
	for _, step := range []string{
		"detached", "file written", "file synced", "file compared", "file named", "manifest written", "manifest named", "dropping", "dropped",
	} {
		t.Run(step, func(t *testing.T) {
			db := testbed.Postgres(t)
			dir, m := t.TempDir(), old(14)
			const rows = 1500
			makeMonth(t, db, m, rows)

			self := must[string](t)(os.Executable())
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), stepVariable+"="+step, dsnVariable+"="+db.DSN(db.Owner), dirVariable+"="+dir)
			out, err := cmd.CombinedOutput()
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
				t.Fatalf("it was not killed: %v\n%s", err, out)
			}

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
			must[[]Month](t)(s.Retire(t.Context(), dir, year))
			if got, want := files(t, dir), m.Table()+".manifest.json "+m.Table()+".ndjson.zst"; got != want {
				t.Errorf("in the directory: %s\nwant %s", got, want)
			}
			verified := 0
			err = Verify(dir, []Month{m}, nil, func(v Verified) error {
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
			if left, _ := filepath.Glob(filepath.Join(dir, "*"+partialSuffix)); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}
