package testbed

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// AwaitStandby makes every commit on a private server wait for a standby that nobody is. It returns
// when that is so.
func (s *Servers) AwaitStandby(t testing.TB) {
	t.Helper()
	s.setStandby(t, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", true)
}

// ForgetStandby lets those commits go on, and all others.
func (s *Servers) ForgetStandby(t testing.TB) {
	t.Helper()
	s.setStandby(t, "ALTER SYSTEM RESET synchronous_standby_names", false)
}

// setStandby changes the setting, and waits until commits mind it: it is the checkpointer that
// tells them.
func (s *Servers) setStandby(t testing.TB, statement string, waits bool) {
	t.Helper()
	for _, statement := range []string{statement, "SELECT pg_reload_conf()"} {
		if err := s.Postgres.Exec(t.Context(), "postgres", statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	for deadline := time.Now().Add(30 * time.Second); s.commitWaits(t) != waits; {
		if time.Now().After(deadline) {
			t.Fatalf("commits do not mind %q", statement)
		}
	}
}

// commitWaits tries a commit.
func (s *Servers) commitWaits(t testing.TB) bool {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var conns [2]*pgx.Conn
	for i := range conns {
		conn, err := s.Postgres.Connect(ctx, "postgres")
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	defer func() {
		for _, conn := range conns {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	pid := conns[0].PgConn().PID()
	done := make(chan struct{})
	go func() {
		_, _ = conns[0].Exec(ctx, "SELECT pg_logical_emit_message(true, 'test', '')")
		close(done)
	}()
	defer func() { cancel(); <-done }()
	for {
		var waits bool
		if err := conns[1].QueryRow(ctx, "SELECT coalesce(wait_event, '') = 'SyncRep' FROM pg_stat_activity WHERE pid = $1", pid).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			return false
		case <-time.After(20 * time.Millisecond): // between two looks
		}
		if waits {
			return true
		}
	}
}
