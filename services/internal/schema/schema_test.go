package schema_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/migrations"
	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func owner(db testbed.DB) *pgx.ConnConfig { return db.ConnConfig(db.Owner) }

func version(t *testing.T, db testbed.DB) uint {
	t.Helper()
	v, err := schema.Version(t.Context(), owner(db))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func exec(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// TestEveryDownLeavesNoTrace takes each step up, down and up again, and looks at what is there.
func TestEveryDownLeavesNoTrace(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	ctx, admin := t.Context(), db.Connect(t, db.Admin)

	// ups[v] is the schema at version v.
	ups := [][]string{catalog(t, admin)}
	for v := uint(1); v <= schema.Newest(); v++ {
		if err := schema.Up(ctx, owner(db), schema.WithFiles(upTo(t, v))); err != nil {
			t.Fatal(err)
		}
		if got := version(t, db); got != v {
			t.Fatalf("at version %d, want %d", got, v)
		}
		ups = append(ups, catalog(t, admin))
		if len(without(ups[v], ups[v-1])) == 0 {
			t.Errorf("step %d changed nothing that this test sees", v)
		}
	}
	for v := schema.Newest(); v > 0; v-- {
		if err := schema.Down(ctx, owner(db), 1); err != nil {
			t.Fatal(err)
		}
		if got := version(t, db); got != v-1 {
			t.Fatalf("at version %d, want %d", got, v-1)
		}
		down := catalog(t, admin)
		for _, line := range without(down, ups[v-1]) {
			t.Errorf("step %d down left: %s", v, line)
		}
		for _, line := range without(ups[v-1], down) {
			t.Errorf("step %d down took too much: %s", v, line)
		}
	}
	if err := schema.Up(ctx, owner(db)); err != nil {
		t.Fatal(err)
	}
	if again := catalog(t, admin); !slices.Equal(again, ups[schema.Newest()]) {
		t.Errorf("up again is another schema: %v, %v", without(again, ups[schema.Newest()]), without(ups[schema.Newest()], again))
	}
	if err := schema.DownAll(ctx, owner(db)); err != nil {
		t.Fatal(err)
	}
	if err := schema.DownAll(ctx, owner(db)); err != nil {
		t.Errorf("an empty database has nothing to take back, and that is no error: %v", err)
	}
	if got := catalog(t, admin); !slices.Equal(got, ups[0]) {
		t.Errorf("down to nothing left %v", without(got, ups[0]))
	}
}

// upTo returns the migrations up to version v.
func upTo(t *testing.T, v uint) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		content, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.ParseUint(name[:6], 10, 0); err != nil {
			t.Fatal(err)
		} else if uint(n) <= v {
			files[name] = &fstest.MapFile{Data: content}
		}
	}
	return files
}

// TestDownKeepsEventsWhileItsTableIsThere: the steps after the table's own move events, and lose
// none.
func TestDownKeepsEventsWhileItsTableIsThere(t *testing.T) {
	db := testbed.Postgres(t)
	conn := db.Connect(t, db.Owner)
	exec(t, conn, "INSERT INTO review_sessions (session_id, user_id) VALUES (1, 1)")
	exec(t, conn, `INSERT INTO log_events (event_id, session_id, event_type, "timestamp", received_at)
		SELECT event_id_floor(now() + n * interval '20 days'), 1, 'x', now(), now() FROM generate_series(-3, 5) n`)
	content := func() (sum string) {
		t.Helper()
		// All that the table of step 2 has.
		const all = `SELECT md5(string_agg((event_id, session_id, event_type, username, payload, "timestamp", received_at, tx)::text, '|' ORDER BY event_id))
			FROM log_events`
		if err := conn.QueryRow(t.Context(), all).Scan(&sum); err != nil {
			t.Fatal(err)
		}
		return sum
	}
	before := content()
	if err := schema.Down(t.Context(), owner(db), int(schema.Newest())-2); err != nil {
		t.Fatal(err)
	}
	if content() != before {
		t.Error("down to version 2 changed events")
	}
	if err := schema.Up(t.Context(), owner(db)); err != nil {
		t.Fatal(err)
	}
	if content() != before {
		t.Error("up again changed events")
	}
}

func TestUpByManyAtOnce(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := schema.Up(t.Context(), owner(db)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if v := version(t, db); v != schema.Newest() {
		t.Errorf("at version %d, want %d", v, schema.Newest())
	}
}

// TestUpWaitsWithoutLimit: longer than the 15 s after which golang-migrate gives up by itself, and
// only as long as the caller likes.
func TestUpWaitsWithoutLimit(t *testing.T) {
	t.Parallel()
	db := testbed.EmptyPostgres(t)
	holder := db.Connect(t, db.Owner)
	started, release := make(chan struct{}), make(chan struct{})
	slow := fstest.MapFS{"000001_slow.up.sql": {Data: []byte("SELECT pg_advisory_lock_shared(1)")}}
	exec(t, holder, "SELECT pg_advisory_lock(1)")
	go func() {
		close(started)
		if err := schema.Up(context.WithoutCancel(t.Context()), owner(db), schema.WithFiles(slow)); err != nil {
			t.Error(err)
		}
		close(release)
	}()
	<-started
	waiting := func(n int) bool {
		var got int
		const count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
		if err := holder.QueryRow(t.Context(), count).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got == n
	}
	eventually(t, "the first waits for the test", func() bool { return waiting(1) })

	ctx, cancel := context.WithCancel(t.Context())
	gaveUp, patient := make(chan error, 1), make(chan error, 1)
	go func() { gaveUp <- schema.Up(ctx, owner(db), schema.WithFiles(slow)) }()
	go func() { patient <- schema.Up(t.Context(), owner(db), schema.WithFiles(slow)) }()
	eventually(t, "two wait for the first", func() bool { return waiting(3) })
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it waited: %v", err)
	}
	eventually(t, "one of them has left, in the server too", func() bool { return waiting(2) })

	select {
	case err := <-patient:
		t.Fatalf("gave up waiting: %v", err)
	case <-time.After(16 * time.Second): // the time is what is tested
	}
	exec(t, holder, "SELECT pg_advisory_unlock(1)")
	if err := <-patient; err != nil {
		t.Error(err)
	}
	<-release
}

// TestCancelledUp stops between steps, not within one.
func TestCancelledUp(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	afterTwo := slog.New(&onRecord{n: 2, do: cancel})
	if err := schema.Up(ctx, owner(db), schema.WithLogger(afterTwo)); !errors.Is(err, context.Canceled) {
		t.Errorf("Up: %v, want it cancelled", err)
	}
	if v := version(t, db); v != 2 {
		t.Errorf("at version %d, want 2", v)
	}
	if err := schema.Up(t.Context(), owner(db)); err != nil {
		t.Error(err)
	}
}

// onRecord does something at the nth log record.
type onRecord struct {
	n  int
	do func()
}

func (h *onRecord) Handle(context.Context, slog.Record) error {
	if h.n--; h.n == 0 {
		h.do()
	}
	return nil
}
func (h *onRecord) Enabled(context.Context, slog.Level) bool { return true }
func (h *onRecord) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *onRecord) WithGroup(string) slog.Handler            { return h }

// TestFailingStep: its error says where, and nothing of it stays.
func TestFailingStep(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	admin := db.Connect(t, db.Admin)
	files := fstest.MapFS{
		"000001_good.up.sql": {Data: []byte("CREATE TABLE good ()")},
		"000002_bad.up.sql":  {Data: []byte("CREATE TABLE half ();\n\n-- ünïcode\nSELECT nonsense FROM half;")},
	}
	err := schema.Up(t.Context(), owner(db), schema.WithFiles(files))
	if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "42703" || !strings.Contains(err.Error(), "the step to version 2: line 4: ") {
		t.Errorf("error: %v", err)
	}
	if v := version(t, db); v != 1 {
		t.Errorf("at version %d, want 1", v)
	}
	for _, line := range catalog(t, admin) {
		if strings.Contains(line, "half") {
			t.Errorf("the failed step left: %s", line)
		}
	}
	files["000002_bad.up.sql"].Data = []byte("CREATE TABLE whole ()")
	if err := schema.Up(t.Context(), owner(db), schema.WithFiles(files)); err != nil {
		t.Errorf("after the file was repaired: %v", err)
	}
}

// TestKilledSession: the server ends the session in the middle of a step. Nothing of the step is
// there, and the next Up does it.
func TestKilledSession(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	holder := db.Connect(t, db.Admin)
	files := fstest.MapFS{
		"000001_first.up.sql":  {Data: []byte("CREATE TABLE first ()")},
		"000002_second.up.sql": {Data: []byte("CREATE TABLE second (); SELECT pg_advisory_lock_shared(1)")},
	}
	exec(t, holder, "SELECT pg_advisory_lock(1)")
	failed := make(chan error)
	go func() { failed <- schema.Up(t.Context(), owner(db), schema.WithFiles(files)) }()
	eventually(t, "the step waits", func() (waits bool) {
		const kill = "SELECT coalesce(bool_or(pg_terminate_backend(pid)), false) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
		if err := holder.QueryRow(t.Context(), kill).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		return waits
	})
	if err := <-failed; err == nil || store.Classify(err) != store.Transient {
		t.Errorf("killed: %v", err)
	}
	if v := version(t, db); v != 1 {
		t.Errorf("at version %d, want 1", v)
	}
	exec(t, holder, "SELECT pg_advisory_unlock(1)")
	if err := schema.Up(t.Context(), owner(db), schema.WithFiles(files)); err != nil {
		t.Error(err)
	}
}

func TestDownRefuses(t *testing.T) {
	db := testbed.Postgres(t)
	for n, want := range map[int]string{
		0:  "down 0: the number of steps must be at least 1",
		99: fmt.Sprintf("migrating: down 99: the schema is at version %[1]d, only %[1]d steps can be taken back", schema.Newest()),
	} {
		if err := schema.Down(t.Context(), owner(db), n); err == nil || err.Error() != want {
			t.Errorf("down %d: %v, want %q", n, err, want)
		}
	}
	if v := version(t, db); v != schema.Newest() {
		t.Errorf("at version %d, want %d", v, schema.Newest())
	}
}

// TestDirty: the flag of another tool stops everything, with a message that says what to do.
func TestDirty(t *testing.T) {
	db := testbed.Postgres(t)
	exec(t, db.Connect(t, db.Owner), "UPDATE schema_migrations SET version = 4, dirty = true")
	for name, err := range map[string]error{
		"up":   schema.Up(t.Context(), owner(db)),
		"down": schema.Down(t.Context(), owner(db), 1),
	} {
		if dirty, ok := errors.AsType[*schema.DirtyError](err); !ok || dirty.Version != 4 || !strings.Contains(err.Error(), "migrate force") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := schema.Version(t.Context(), owner(db)); err == nil {
		t.Error("Version says nothing")
	}
	for _, v := range []int{-2, 99} {
		if err := schema.Force(t.Context(), owner(db), v); err == nil {
			t.Errorf("force %d was accepted", v)
		}
	}
	if err := schema.Force(t.Context(), owner(db), int(schema.Newest())); err != nil {
		t.Fatal(err)
	}
	if err := schema.Up(t.Context(), owner(db)); err != nil {
		t.Errorf("after force: %v", err)
	}
}

// TestNewerSchema: an older release finds it, after a rollback, say.
func TestNewerSchema(t *testing.T) {
	db := testbed.Postgres(t)
	var log bytes.Buffer
	to := schema.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))
	if err := schema.Up(t.Context(), owner(db), schema.WithFiles(upTo(t, 4)), to); err != nil {
		t.Errorf("Up: %v", err)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "newer than this binary") {
		t.Errorf("it logs %q, want one line that says that the schema is newer", got)
	}
	if v := version(t, db); v != schema.Newest() {
		t.Errorf("at version %d, want %d", v, schema.Newest())
	}
}

func TestForceNothing(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	before := catalog(t, db.Connect(t, db.Admin))
	if err := schema.Force(t.Context(), owner(db), 0); err != nil {
		t.Error(err)
	}
	if after := catalog(t, db.Connect(t, db.Admin)); !slices.Equal(before, after) {
		t.Errorf("left %v", without(after, before))
	}
}

// TestStoreNeedsNoMoreThanWeHave holds the consumer's number against ours.
func TestStoreNeedsNoMoreThanWeHave(t *testing.T) {
	if store.SchemaVersion > schema.Newest() {
		t.Errorf("the store needs version %d, the newest is %d", store.SchemaVersion, schema.Newest())
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

// TestDownKeepsConflicts: events that `migrate partitions attach` has set aside are nowhere else.
func TestDownKeepsConflicts(t *testing.T) {
	db := testbed.Postgres(t)
	conn := db.Connect(t, db.Owner)
	if _, err := conn.Exec(t.Context(), "INSERT INTO log_events_conflicts (event_id, tx, month, event) VALUES (gen_random_uuid(), 1, '2025-09-01', '{}')"); err != nil {
		t.Fatal(err)
	}
	if err := schema.Down(t.Context(), owner(db), int(schema.Newest())-10); err == nil || !strings.Contains(err.Error(), "log_events_conflicts has 1 events that are nowhere else") {
		t.Errorf("down: %v", err)
	}
	if v := version(t, db); v != 11 {
		t.Errorf("at version %d, want 11", v)
	}
	if _, err := conn.Exec(t.Context(), "TRUNCATE log_events_conflicts"); err != nil {
		t.Fatal(err)
	}
	if err := schema.Down(t.Context(), owner(db), 1); err != nil {
		t.Error(err)
	}
}

// TestDownKeepsSources: events for which the schema before has no place, and keys without which
// events would be stored twice.
func TestDownKeepsSources(t *testing.T) {
	db := testbed.Postgres(t)
	conn := db.Connect(t, db.Owner)
	steps := int(schema.Newest()) - 12
	for _, one := range []struct{ add, remove, want string }{
		{`INSERT INTO log_events (event_id, event_type, "timestamp", received_at) VALUES (gen_random_uuid(), 'x', now(), now())`, "DELETE FROM log_events", "without a session"},
		{`INSERT INTO log_events (event_id, session_id, event_type, "timestamp", received_at, source) VALUES (gen_random_uuid(), 1, 'x', now(), now(), 'in/a')`, "DELETE FROM log_events", "with a source"},
		{"INSERT INTO event_keys VALUES (sha256(''), gen_random_uuid())", "DELETE FROM event_keys", "event keys"},
	} {
		exec(t, conn, one.add)
		if err := schema.Down(t.Context(), owner(db), steps); err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("down: %v, want %q", err, one.want)
		}
		exec(t, conn, one.remove)
	}
	// In a month that is detached, too; and one without such can come back.
	table := "log_events_y" + time.Now().UTC().Format("2006m01")
	exec(t, conn, `INSERT INTO log_events (event_id, event_type, "timestamp", received_at, source) VALUES (event_id_floor(now()), 'x', now(), now(), 'in/a')`)
	exec(t, conn, "ALTER TABLE log_events DETACH PARTITION "+table)
	if err := schema.Down(t.Context(), owner(db), steps); err == nil || !strings.Contains(err.Error(), table) {
		t.Errorf("down: %v, want it to name %s", err, table)
	}
	exec(t, conn, "DELETE FROM "+table)
	if err := schema.Down(t.Context(), owner(db), steps); err != nil {
		t.Error(err)
	}
	exec(t, conn, "ALTER TABLE log_events ATTACH PARTITION "+table+" FOR VALUES FROM (event_id_floor(date_trunc('month', now(), 'UTC'))) TO (event_id_floor(date_trunc('month', now(), 'UTC') + interval '1 month'))")
}

// TestUpAsAnother role than the owner says so.
func TestUpAsAnother(t *testing.T) {
	db := testbed.Postgres(t)
	err := schema.Up(t.Context(), db.ConnConfig(db.Writer))
	if want := fmt.Sprintf("only the owner of the trail may migrate it: that is %s, not %s", db.Owner.Name, db.Writer.Name); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}
