package schema_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/golang-migrate/migrate/v4/database"

	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/services/internal/testbed/logs"
)

// TestAReaderCantStopMigrations: any role may take the advisory lock that migrations take.
func TestAReaderCantStopMigrations(t *testing.T) {
	t.Parallel()
	db := testbed.EmptyPostgres(t)
	key, err := database.GenerateAdvisoryLockId(db.Name, "public", "schema_migrations")
	if err != nil {
		t.Fatal(err)
	}
	exec(t, db.Connect(t, db.Reader), "SELECT pg_advisory_lock("+key+")")
	log := new(logs.Buffer)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			err := schema.Up(t.Context(), owner(db), schema.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
			if err != nil { // of several at once, which the lock would have kept apart
				t.Logf("up: %v", err)
			}
		})
	}
	wg.Wait()
	if err := schema.Up(t.Context(), owner(db)); err != nil {
		t.Error(err)
	}
	if v := version(t, db); v != schema.Newest() {
		t.Errorf("at version %d, want %d", v, schema.Newest())
	}
	for _, text := range []string{"waiting for a lock that others hold", db.Reader.Name, "going on without"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("the log does not say %q:\n%s", text, log)
		}
	}
}

// TestWaitingSaysOnWhom: whoever waits for a lock tells who has it.
func TestWaitingSaysOnWhom(t *testing.T) {
	t.Parallel()
	db := testbed.EmptyPostgres(t)
	holder := db.Connect(t, db.Owner)
	key, err := database.GenerateAdvisoryLockId(db.Name, "public", "schema_migrations")
	if err != nil {
		t.Fatal(err)
	}
	pid := fmt.Sprintf("pid %d", holder.PgConn().PID())
	up := func(files fstest.MapFS) (log *logs.Buffer, done chan error) {
		log, done = new(logs.Buffer), make(chan error, 1)
		go func() {
			done <- schema.Up(context.WithoutCancel(t.Context()), owner(db), schema.WithFiles(files), schema.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
		}()
		return log, done
	}
	first := fstest.MapFS{"000001_first.up.sql": {Data: []byte("CREATE TABLE first ()")}}

	exec(t, holder, "SELECT pg_advisory_lock("+key+")")
	log, done := up(first)
	eventually(t, "it says who migrates", func() bool { return strings.Contains(log.String(), pid) })
	exec(t, holder, "SELECT pg_advisory_unlock("+key+")")
	if err := <-done; err != nil || strings.Contains(log.String(), "going on without") {
		t.Errorf("%v\n%s", err, log)
	}

	// A step that waits for a table, which anybody has who reads it.
	exec(t, holder, "BEGIN; LOCK TABLE first IN ACCESS SHARE MODE")
	first["000002_second.up.sql"] = &fstest.MapFile{Data: []byte("ALTER TABLE first ADD COLUMN n int")}
	log, done = up(first)
	eventually(t, "it says who has the table", func() bool { return strings.Contains(log.String(), pid) })
	exec(t, holder, "ROLLBACK")
	if err := <-done; err != nil {
		t.Error(err)
	}
}
