package followers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// world is a trail, and what can become of its servers.
type world struct {
	t       *testing.T
	rand    *rand.Rand
	servers []*testbed.Servers // two clusters: dumps go from one to the other
	at      int                // where the trail is
	db      testbed.DB
	writer  *store.Writer
	open    []*pgx.Conn // with a transaction that has stored something
	dbs     []testbed.DB
	backup  string      // a copy of the data folder of servers[0], "" when there is none
	cold    bool        // it was made while the server was stopped
	point   string      // a restore point later than backup
	ahead   func(n int) // stores n batches, and follows
}

func (w *world) config(db testbed.DB) store.Config {
	return store.Config{Host: db.Host, Port: db.Port, Database: db.Name, User: db.Writer.Name, Password: db.Writer.Password,
		ConnectTimeout: 30 * time.Second, SSLMode: "disable"}
}

func (w *world) note(format string, args ...any) {
	w.t.Helper()
	w.t.Logf("%s "+format, append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// use makes a database the trail's.
func (w *world) use(at int, db testbed.DB) {
	w.leave()
	w.at, w.db, w.writer = at, db, store.NewWriter(w.config(db))
	w.dbs = append(w.dbs, db)
}

// close leaves the servers to the next run.
func (w *world) close() {
	w.t.Helper()
	w.leave()
	w.dropBackup()
	for _, db := range w.dbs {
		for _, s := range w.servers {
			if s.Postgres.Port == db.Port {
				w.must(s.Postgres.Exec(context.Background(), "postgres", "DROP DATABASE IF EXISTS "+pgx.Identifier{db.Name}.Sanitize()+" WITH (FORCE)"))
			}
		}
	}
}

// leave ends all connections.
func (w *world) leave() {
	for _, conn := range w.open {
		_ = conn.Close(context.Background())
	}
	w.open = nil
	if w.writer != nil {
		_ = w.writer.Close(context.Background())
	}
}

func newEvents(n int) []event.Event {
	events := make([]event.Event, n)
	now := time.Now().UTC().Truncate(time.Microsecond)
	for i := range events {
		events[i] = event.Event{ID: uuid.Must(uuid.NewV7()), SessionID: int64(1 + i%3), Type: "user_action",
			Timestamp: now, ReceivedAt: now, Payload: []byte(`{"n": 1.50, "text": "a\tb\n"}`)}
	}
	return events
}

// store adds a batch, as a consumer does: again, until it is known to be there.
func (w *world) store(n int) {
	w.t.Helper()
	events := newEvents(n)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, err := w.writer.Store(w.t.Context(), events, false)
		if err == nil {
			return
		}
		if store.Classify(err) != store.Transient || time.Now().After(deadline) {
			w.t.Fatal(err)
		}
	}
}

const insert = `INSERT INTO log_events (event_id, session_id, event_type, "timestamp", received_at) VALUES ($1, 1, 'user_action', now(), now())`

// roll stores and rolls back: transaction ids that PostgreSQL may give again after a crash.
func (w *world) roll(n int) {
	w.t.Helper()
	conn := w.db.Connect(w.t, w.db.Writer)
	defer conn.Close(context.Background())
	for range n {
		tx, err := conn.Begin(w.t.Context())
		w.must(err)
		_, err = tx.Exec(w.t.Context(), insert, uuid.Must(uuid.NewV7()))
		w.must(err)
		w.must(tx.Rollback(w.t.Context()))
	}
}

// begin leaves a transaction open.
func (w *world) begin() {
	w.t.Helper()
	conn := w.db.Connect(w.t, w.db.Writer)
	_, err := conn.Exec(w.t.Context(), "BEGIN")
	w.must(err)
	_, err = conn.Exec(w.t.Context(), insert, uuid.Must(uuid.NewV7()))
	w.must(err)
	w.open = append(w.open, conn)
}

// end commits the oldest open transaction, if it is still there.
func (w *world) end() {
	if len(w.open) > 0 {
		_, _ = w.open[0].Exec(w.t.Context(), "COMMIT") // lost where the server was
		_ = w.open[0].Close(context.Background())
		w.open = w.open[1:]
	}
}

func (w *world) noteHorizon() {
	w.t.Helper()
	_, err := store.NoteHorizon(w.t.Context(), w.config(w.db))
	w.must(err)
}

// some does a few random things that a trail goes through every minute.
func (w *world) some(f *follower) {
	w.t.Helper()
	for range 2 + w.rand.IntN(6) {
		switch n := 1 + w.rand.IntN(25); w.rand.IntN(8) {
		case 0, 1:
			w.note("store %d", n)
			w.store(n)
		case 2:
			w.note("roll back %d", n)
			w.roll(n)
		case 3:
			w.note("note the horizon")
			w.noteHorizon()
		case 4, 5:
			w.note("follow")
			f.follow(w.db)
		case 6:
			w.note("begin")
			w.begin()
		case 7:
			w.note("end")
			w.end()
		}
	}
}

// faults are what can happen to a server, each with whether a follower must be told of a new epoch.
// Those that need the server's own files are nil for one in a container.
func (w *world) faults() map[string]func() bool {
	server := w.servers[w.at]
	faults := map[string]func() bool{
		"kill the server":                    func() bool { w.must(server.Postgres.Kill()); w.start(); return true },
		"restart":                            func() bool { w.must(server.Postgres.Stop(w.t.Context())); w.start(); return true },
		"restore a dump in another database": func() bool { w.dump(w.at); return true },
		"restore a dump in another cluster":  func() bool { w.dump(1 - w.at); return true },
	}
	if server.Local() {
		faults["kill a backend"] = func() bool { w.killBackend(); return false }
	}
	if server.Local() && w.at == 0 {
		faults["back up"] = func() bool { w.backUp(false); return false }
		faults["stop, copy and start"] = func() bool { w.backUp(true); return true }
		if w.backup != "" && w.cold {
			faults["restore files"] = func() bool { w.restore(false); return true }
		}
		if w.backup != "" {
			faults["restore to a moment"] = func() bool { w.restore(true); return true }
		}
	}
	return faults
}

// start starts the server and waits until it takes writes.
func (w *world) start() {
	w.t.Helper()
	w.must(w.servers[w.at].Postgres.Start(w.t.Context()))
	w.awaitPrimary()
}

func (w *world) awaitPrimary() {
	w.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var recovering bool
		conn, err := w.servers[w.at].Postgres.Connect(w.t.Context(), "postgres")
		if err == nil {
			err = conn.QueryRow(w.t.Context(), "SELECT pg_is_in_recovery()").Scan(&recovering)
			_ = conn.Close(w.t.Context())
		}
		if err == nil && !recovering {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("PostgreSQL does not take writes: recovering %v, %v", recovering, err)
		}
	}
}

// killBackend ends one process as the kernel does when memory runs out: the others are ended by the
// postmaster, which recovers, and stays.
func (w *world) killBackend() {
	w.t.Helper()
	var conns [2]*pgx.Conn
	for i := range conns {
		conn, err := w.servers[w.at].Postgres.Connect(w.t.Context(), w.db.Name)
		w.must(err)
		conns[i] = conn
	}
	defer func() {
		for _, conn := range conns {
			_ = conn.Close(context.Background())
		}
	}()
	w.must(syscall.Kill(int(conns[0].PgConn().PID()), syscall.SIGKILL))
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	_, err := conns[1].Exec(ctx, "SELECT pg_sleep(120)")
	if err == nil || ctx.Err() != nil {
		w.t.Fatalf("another backend outlived the crash: %v", err)
	}
	w.awaitPrimary()
}

// archive is beside the data folder, where the server's user may write.
func (w *world) archive() string {
	return filepath.Join(filepath.Dir(w.servers[w.at].Postgres.DataFolder()), "archive")
}

// startArchiving has the first server keep its WAL.
func (w *world) startArchiving() {
	w.t.Helper()
	server := w.servers[w.at].Postgres
	w.must(os.MkdirAll(w.archive(), 0o700))
	info, err := os.Stat(server.DataFolder())
	w.must(err)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		w.must(os.Chown(w.archive(), int(owner.Uid), int(owner.Gid)))
	}
	w.must(server.Exec(w.t.Context(), "postgres", "ALTER SYSTEM SET archive_mode = on"))
	w.must(server.Exec(w.t.Context(), "postgres", "ALTER SYSTEM SET archive_command = 'cp %p "+w.archive()+"/%f.part && mv "+w.archive()+"/%f.part "+w.archive()+"/%f'"))
	w.must(server.Stop(w.t.Context()))
	w.start()
}

// backUp copies the data folder, of the stopped or of the running server (PostgreSQL documentation,
// 26.3.3).
func (w *world) backUp(cold bool) {
	w.t.Helper()
	server := w.servers[w.at].Postgres
	w.dropBackup()
	copied := server.DataFolder() + ".backup"
	if w.cold = cold; cold {
		w.must(server.Stop(w.t.Context()))
		if out, err := exec.Command("cp", "-a", server.DataFolder(), copied).CombinedOutput(); err != nil {
			w.t.Fatalf("%v: %s", err, out)
		}
		w.start()
		w.backup = copied
		return
	}
	conn, err := server.Connect(w.t.Context(), "postgres")
	w.must(err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(w.t.Context(), "SELECT pg_backup_start('test', true)")
	w.must(err)
	// Files may go while they are copied, which is no fault: WAL brings what is missing.
	out, err := exec.Command("cp", "-a", server.DataFolder(), copied).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "No such file") {
		w.t.Fatalf("%v: %s", err, out)
	}
	var label string
	w.must(conn.QueryRow(w.t.Context(), "SELECT labelfile FROM pg_backup_stop(false)").Scan(&label))
	for _, name := range []string{"postmaster.pid", "postmaster.opts"} {
		_ = os.Remove(filepath.Join(copied, name))
	}
	w.putFile(filepath.Join(copied, "backup_label"), label)
	w.backup = copied
}

func (w *world) dropBackup() {
	if w.backup != "" {
		w.must(os.RemoveAll(w.backup))
		w.backup, w.point = "", ""
	}
}

// putFile writes a file that belongs to its folder's owner.
func (w *world) putFile(name, text string) {
	w.t.Helper()
	w.must(os.WriteFile(name, []byte(text), 0o600))
	info, err := os.Stat(filepath.Dir(name))
	w.must(err)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		w.must(os.Chown(name, int(owner.Uid), int(owner.Gid)))
	}
}

// mark makes a restore point, the moment that a restore may go to.
func (w *world) mark() {
	w.t.Helper()
	if w.backup == "" || w.point != "" {
		return
	}
	server := w.servers[w.at].Postgres
	w.point = fmt.Sprintf("point_%x", w.rand.Uint64())
	w.must(server.Exec(w.t.Context(), "postgres", "SELECT pg_create_restore_point($1)", w.point))
}

// archived switches to the next file of WAL and waits until the last one is in the archive.
func (w *world) archived() {
	w.t.Helper()
	conn, err := w.servers[w.at].Postgres.Connect(w.t.Context(), "postgres")
	w.must(err)
	defer conn.Close(context.Background())
	var file string
	w.must(conn.QueryRow(w.t.Context(), "SELECT pg_walfile_name(pg_switch_wal())").Scan(&file))
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(w.archive(), file)); err == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s is not in the archive", file)
		}
	}
}

// restore puts the backup in the place of the cluster. From the archive it then reads the WAL up to
// the restore point, on to a new timeline; without, it has what is in its own folder, the moment of
// the backup, and goes on on the same timeline.
func (w *world) restore(toPoint bool) {
	w.t.Helper()
	server := w.servers[w.at].Postgres
	if toPoint {
		w.mark() // in case there is none
		w.archived()
	}
	w.leave()
	w.must(server.Stop(w.t.Context()))
	data := server.DataFolder()
	w.must(os.RemoveAll(data))
	out, err := exec.Command("cp", "-a", w.backup, data).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	if toPoint {
		settings, err := os.ReadFile(filepath.Join(data, "postgresql.auto.conf"))
		w.must(err)
		w.putFile(filepath.Join(data, "postgresql.auto.conf"), string(settings)+fmt.Sprintf(
			"restore_command = 'cp %s/%%f %%p'\nrecovery_target_name = '%s'\nrecovery_target_action = promote\nrecovery_target_timeline = current\n",
			w.archive(), w.point))
		w.putFile(filepath.Join(data, "recovery.signal"), "")
	}
	w.start()
	w.use(w.at, w.db)
}

// tool runs one of PostgreSQL's programs as the superuser.
func (w *world) tool(s *testbed.Servers, name string, stdin, stdout *os.File, args ...string) {
	w.t.Helper()
	cmd := exec.CommandContext(w.t.Context(), "sh", append([]string{"-c", s.Postgres.Tool(name), name}, args...)...)
	cmd.Env = append(os.Environ(), "PGHOST="+s.Postgres.Host, fmt.Sprintf("PGPORT=%d", s.Postgres.Port),
		"PGUSER="+s.Postgres.Superuser.Name, "PGPASSWORD="+s.Postgres.Superuser.Password)
	var said strings.Builder
	cmd.Stderr = &said
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("%s: %v: %s", name, err, said.String())
	}
}

// dump restores a dump of the trail as another database, of this cluster or the other one, and goes
// on there. Before, it may have gone on here for a while: the follower is ahead of the dump then.
func (w *world) dump(to int) {
	w.t.Helper()
	file, err := os.Create(filepath.Join(w.t.TempDir(), "dump"))
	w.must(err)
	defer file.Close()
	w.tool(w.servers[w.at], "pg_dump", nil, file, "--format=custom", "--dbname="+w.db.Name)
	if n := w.rand.IntN(3); n > 0 && w.ahead != nil {
		w.ahead(n)
	}
	w.leave()
	target := w.servers[to]
	db := target.EmptyDatabase(w.t)
	_, err = file.Seek(0, 0)
	w.must(err)
	w.tool(target, "pg_restore", file, nil, "--exit-on-error", "--dbname="+db.Name)
	w.dropBackup() // it has no such database
	w.use(to, db)

	_, err = w.writer.Store(w.t.Context(), newEvents(1), false)
	if !errors.Is(err, store.ErrRestored) || store.Classify(err) != store.Trouble {
		w.t.Fatalf("a writer stores in a restored database: %v", err)
	}
	w.must(schema.Up(w.t.Context(), db.ConnConfig(db.Owner)))
}
