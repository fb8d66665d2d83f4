package partitions

import (
	"errors"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestNoMonthIsDoneWithoutTheStandby: while commits wait for a synchronous standby that is away, no
// month is reported as detached, dropped or attached, also where it is found to be so. Who reads
// the trail does not wait with it.
func TestNoMonthIsDoneWithoutTheStandby(t *testing.T) {
	servers := testbed.PrivatePostgres(t)
	db := servers.Database(t)
	m, lost := old(14), old(15)
	makeMonth(t, db, m, 10)
	makeMonth(t, db, lost, 10)
	admin, reader, dir := db.Connect(t, db.Admin), db.Connect(t, db.Reader), t.TempDir()
	run(t, reader, "SET lock_timeout = '20s'")
	servers.AwaitStandby(t)

	s := open(t, db, Options{})
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"Detach", func() error { _, err := s.Detach(t.Context(), year); return err }},
		{"Detach, of none", func() error { _, err := s.Detach(t.Context(), year); return err }},
		{"Drop, without an export", func() error { _, err := s.DropWithoutExport(t.Context(), lost); return err }},
		{"Attach", func() error { _, err := s.Attach(t.Context(), m); return err }},
		{"Attach, of none", func() error { _, err := s.Attach(t.Context()); return err }},
		{"Ensure", func() error { _, err := s.Ensure(t.Context(), 5); return err }},
		{"Retire", func() error { _, err := s.Retire(t.Context(), dir, year); return err }},
		{"Retire, of none", func() error { _, err := s.Retire(t.Context(), dir, year); return err }},
		{"Drop, of none", func() error { _, err := s.Drop(t.Context(), dir); return err }},
	} {
		done := make(chan error, 1)
		go func() { done <- step.do() }()
		var err error
		for deadline, waiting := time.Now().Add(time.Minute), true; waiting; {
			// Only what waits in its COMMIT, with the locks that it has, is in the way for so long.
			run(t, reader, "SELECT count(*) FROM log_events")
			run(t, admin, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
			select {
			case err = <-done:
				waiting = false
			case <-time.After(200 * time.Millisecond): // between two looks
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s waits for nothing", step.name)
			}
		}
		if !errors.Is(err, durable.ErrUnconfirmed) {
			t.Errorf("%s, cancelled by somebody: %v, want %v", step.name, err, durable.ErrUnconfirmed)
		}
	}
	servers.ForgetStandby(t)
	if done, err := s.Retire(t.Context(), dir, year); len(done) != 0 || err != nil {
		t.Errorf("with nobody to wait for: %v, %v", done, err)
	}
}
