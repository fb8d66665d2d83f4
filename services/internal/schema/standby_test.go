package schema_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestNothingIsMigratedWithoutTheStandby: while commits wait for a synchronous standby that is
// away, no step, and nothing that is found to be done already, is reported as done.
func TestNothingIsMigratedWithoutTheStandby(t *testing.T) {
	servers := testbed.PrivatePostgres(t)
	db := servers.EmptyDatabase(t)
	admin, owner := db.Connect(t, db.Admin), owner(db)
	roles := func() error {
		return schema.Roles(t.Context(), schema.RolesConfig{
			Admin: db.ConnConfig(db.Admin), Database: db.Name,
			Owner: schema.Login(db.Owner), Writer: schema.Login(db.Writer), Reader: schema.Login(db.Reader),
		})
	}
	servers.AwaitStandby(t)

	// cancelled does f, and cancels each commit of its that waits.
	cancelled := func(f func() error) error {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- f() }()
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
			if _, err := admin.Exec(t.Context(), "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-done:
				return err
			case <-time.After(200 * time.Millisecond): // between two looks
			}
		}
		t.Fatal("it waits for nothing")
		return nil
	}
	for _, tc := range []struct {
		name    string
		do      func() error
		version uint
	}{
		{"the first step", func() error { return schema.Up(t.Context(), owner) }, 1},
		{"the roles again", roles, 1},
		{"the step back", func() error { return schema.Down(t.Context(), owner, 1) }, 0},
		{"nothing to take back", func() error { return schema.DownAll(t.Context(), owner) }, 0},
		{"by force", func() error { return schema.Force(t.Context(), owner, 1) }, 1},
	} {
		if err := cancelled(tc.do); !errors.Is(err, durable.ErrUnconfirmed) {
			t.Errorf("%s, cancelled by somebody: %v, want %v", tc.name, err, durable.ErrUnconfirmed)
		}
		// Nobody is asked to wait for the standby who wants to know.
		if v, err := schema.Version(t.Context(), owner); v != tc.version || err != nil {
			t.Errorf("%s: version %d, %v, want %d", tc.name, v, err, tc.version)
		}
	}
}

// TestAServerThatOnlyReads is refused by what changes something, and answers which version it has.
func TestAServerThatOnlyReads(t *testing.T) {
	db := testbed.Postgres(t)
	exec(t, db.Connect(t, db.Admin), fmt.Sprintf("ALTER DATABASE %q SET default_transaction_read_only = on", db.Name))
	err := schema.Up(t.Context(), owner(db))
	if store.SQLState(err) != "25006" || store.Classify(err) != store.Transient {
		t.Errorf("%v (class %v), want 25006", err, store.Classify(err))
	}
	if v := version(t, db); v != schema.Newest() {
		t.Errorf("version %d, want %d", v, schema.Newest())
	}
}
