package testbed

import (
	"context"
	"errors"
	"testing"
	"time"
)

// AwaitStandby makes every commit on a private server wait for a standby that nobody is. It returns when that is so.
func (s *Servers) AwaitStandby(t testing.TB) {
	t.Helper()
	s.setStandby(t, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", true)
}

// ForgetStandby lets those commits go on, and all others.
func (s *Servers) ForgetStandby(t testing.TB) {
	t.Helper()
	s.setStandby(t, "ALTER SYSTEM RESET synchronous_standby_names", false)
}

// setStandby changes the setting, and waits until commits do, or don't: it is the checkpointer that tells them.
func (s *Servers) setStandby(t testing.TB, statement string, waits bool) {
	t.Helper()
	for _, statement := range []string{statement, "SELECT pg_reload_conf()"} {
		if err := s.Postgres.Exec(t.Context(), "postgres", statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		conn, err := s.Postgres.Connect(ctx, "postgres")
		if err != nil {
			cancel()
			t.Fatal(err)
		}
		short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		_, err = conn.Exec(short, "SELECT pg_logical_emit_message(true, 'test', '')")
		stop()
		_ = conn.Close(ctx)
		cancel()
		if waits == errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("commits do not mind %q: %v", statement, err)
		}
	}
}
