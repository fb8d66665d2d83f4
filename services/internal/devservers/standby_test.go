package devservers

import (
	"context"
	"errors"
	"os"
	"testing"
)

// A copy of a server is one of its own, has a standby whose commits it waits for, fails over to it
// and comes back as its standby, with nothing that it alone had.
func TestStandby(t *testing.T) {
	t.Parallel()
	p := openPair(t, "")
	must(t, p.Postgres.Start(t.Context()))
	settings := []string{"synchronous_standby_names = 'one, other'", "wal_log_hints = on", "wal_keep_size = 64MB", "wal_retrieve_retry_interval = 200ms"}
	one, err := p.Postgres.Beside("one", settings...)
	if p.Kind() != Packages {
		if !errors.Is(err, ErrNotBeside) {
			t.Errorf("a container: %v", err)
		}
		return
	}
	must(t, err)
	other, err := p.Postgres.Beside("other", settings...)
	must(t, err)
	dirs := []string{one.beside.Dir, other.beside.Dir}
	exec := func(s *Postgres, sql string) {
		t.Helper()
		must(t, s.Exec(t.Context(), "postgres", sql))
	}
	has := func(s *Postgres, want ...int) {
		t.Helper()
		conn, err := s.Connect(t.Context(), "postgres")
		must(t, err)
		defer conn.Close(context.Background())
		var got []int
		must(t, conn.QueryRow(t.Context(), "SELECT array_agg(n ORDER BY n) FROM numbers").Scan(&got))
		if len(got) != len(want) || got[len(got)-1] != want[len(want)-1] {
			t.Errorf("%s has %v, want %v", s.name, got, want)
		}
	}

	exec(p.Postgres, "CREATE TABLE numbers AS SELECT 1 AS n")
	if err := one.Start(t.Context()); err == nil {
		t.Error("a server without data starts")
	}
	must(t, one.Restore(t.Context(), p.Postgres))
	must(t, one.Start(t.Context()))
	if err := one.Restore(t.Context(), p.Postgres); err == nil {
		t.Error("the data of a server that runs are replaced")
	}
	must(t, other.StandBy(t.Context(), one, one.Address()))
	must(t, other.Start(t.Context()))
	must(t, one.AwaitSync(t.Context(), "other"))
	exec(one, "INSERT INTO numbers VALUES (2)")

	must(t, one.Kill())
	must(t, other.Promote(t.Context()))
	has(other, 1, 2)
	must(t, one.Rewind(t.Context(), other, other.Address()))
	must(t, one.Start(t.Context()))
	must(t, other.AwaitSync(t.Context(), "one"))
	exec(other, "SET synchronous_commit = remote_apply; INSERT INTO numbers VALUES (3)")
	has(one, 1, 2, 3)
	if err := one.Exec(t.Context(), "postgres", "INSERT INTO numbers VALUES (4)"); err == nil {
		t.Error("a standby takes writes")
	}
	has(p.Postgres, 1)

	must(t, errors.Join(one.Discard(t.Context()), other.Discard(t.Context())))
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", dir, err)
		}
	}
}
