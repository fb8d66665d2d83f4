package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// databaseFaults are PostgreSQL's own.
func databaseFaults() []fault {
	return []fault{
		{hop: "database", kind: "fast shutdown and start", felt: logged(cantStore), needs: aProcess, begin: stopped(syscall.SIGINT)},
		{hop: "database", kind: "smart shutdown, cut short, and start", felt: logged(cantStore), needs: aProcess, begin: stopped(syscall.SIGTERM)},
		{hop: "database", kind: "immediate shutdown and start", felt: logged(cantStore), needs: aProcess, begin: stopped(syscall.SIGQUIT)},
		{hop: "database", kind: "killed and started", felt: logged(cantStore),
			begin: func(w *world, _ *rand.Rand) (func() error, error) {
				return func() error { return w.postgres().Start(context.Background()) }, w.postgres().Kill()
			}},
		{hop: "database", kind: "pg_terminate_backend", felt: logged(cantStore), begin: terminated},
		{hop: "database", kind: "pg_cancel_backend", felt: logged("57014"), begin: cancelled},
		{hop: "database", kind: "read-only", felt: logged("25006"), begin: alteredDatabase("SET default_transaction_read_only = on", "RESET default_transaction_read_only")},
		{hop: "database", kind: "too many connections", felt: logged("53300"), begin: alteredDatabase("CONNECTION LIMIT 0", "CONNECTION LIMIT -1")},
		{hop: "database", kind: "statement timeout", begin: alteredDatabase("SET statement_timeout = '1ms'", "RESET statement_timeout")},
		{hop: "database", kind: "lock timeout", begin: lockTimeout},
		{hop: "database", kind: "lock held by another session", begin: lockTrail},
		{hop: "database", kind: "row lock on a session", begin: lockSessions},
		{hop: "database", kind: "missing partition", felt: logged("23514"), begin: missingPartition},
		{hop: "database", kind: "role without rights", felt: logged("42501"), begin: execPair(
			"REVOKE INSERT ON log_events FROM trailpost_writer", "GRANT INSERT ON log_events TO trailpost_writer")},
		{hop: "database", kind: "missing table", felt: logged("42P01"), begin: execPair(
			"ALTER TABLE review_sessions RENAME TO away", "ALTER TABLE away RENAME TO review_sessions")},
		{hop: "database", kind: "migrations down and up", begin: migrations},
		{hop: "database", kind: "vacuum full", begin: execPair("VACUUM FULL review_sessions", "VACUUM ANALYZE")},
		{hop: "database", kind: "disk full", felt: logged("53100"), needs: aDisk, begin: fullDisk},
	}
}

func execPair(broken, mended string) func(*world, *rand.Rand) (func() error, error) {
	return func(w *world, _ *rand.Rand) (func() error, error) {
		return func() error { return w.exec(mended) }, w.exec(broken)
	}
}

// postgres is the server that takes writes.
func (w *world) postgres() *testbed.PostgresServer {
	if w.replicas != nil {
		return w.replicas.primary
	}
	return w.servers.Postgres
}

// postmaster is the server's process.
func (w *world) postmaster() (pid int, err error) {
	conn, err := w.postgres().Connect(context.Background(), "postgres")
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.Background())
	var text string
	if err := conn.QueryRow(context.Background(), "SELECT pg_read_file('postmaster.pid')").Scan(&text); err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(text, "\n")
	return strconv.Atoi(strings.TrimSpace(line))
}

// stopped sends the server the signal of a kind of shutdown. A smart one waits for
// clients that never leave, so a fast one follows.
func stopped(how syscall.Signal) func(*world, *rand.Rand) (func() error, error) {
	return func(w *world, _ *rand.Rand) (func() error, error) {
		start := func() error { return w.postgres().Start(context.Background()) }
		pid, err := w.postmaster()
		if err != nil {
			return start, err
		}
		if err := syscall.Kill(pid, how); err != nil {
			return start, err
		}
		if how == syscall.SIGTERM {
			// Until it takes no more connections.
			for err == nil {
				var conn *pgx.Conn
				if conn, err = w.postgres().Connect(context.Background(), "postgres"); err == nil {
					err = conn.Close(context.Background())
				}
			}
			if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
				return start, err
			}
		}
		select {
		case <-w.postgres().Done():
			return start, nil
		case <-time.After(patience):
			return start, errors.New("PostgreSQL does not end")
		}
	}
}

// theirs are the consumers' sessions, of a database and a role.
const theirs = " FROM pg_stat_activity WHERE datname = $1 AND usename = $2"

// terminated ends the consumers' sessions three times.
func terminated(w *world, r *rand.Rand) (func() error, error) {
	return func() error { return nil }, w.repeat(r, "SELECT pg_terminate_backend(pid)"+theirs)
}

func cancelled(w *world, r *rand.Rand) (func() error, error) {
	// Most of the time they are idle: a lock makes sure that there is something to cancel.
	unlock, err := lockTrail(w, r)
	if err != nil {
		return unlock, err
	}
	return unlock, w.repeat(r, "SELECT pg_cancel_backend(pid)"+theirs)
}

func (w *world) repeat(r *rand.Rand, sql string) error {
	for range 3 {
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond) // a random moment is what is asked for
		if err := w.exec(sql, w.db.Name, w.db.Writer.Name); err != nil {
			return err
		}
	}
	return nil
}

// alteredDatabase changes a setting, which sessions see that begin afterwards. It works from
// another database, where the setting is not.
func alteredDatabase(broken, mended string) func(*world, *rand.Rand) (func() error, error) {
	return func(w *world, _ *rand.Rand) (func() error, error) {
		change := func(what string) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			return errors.Join(
				w.postgres().Exec(ctx, "postgres", "ALTER DATABASE "+pgx.Identifier{w.db.Name}.Sanitize()+" "+what),
				w.postgres().Exec(ctx, "postgres", "SELECT pg_terminate_backend(pid)"+theirs, w.db.Name, w.db.Writer.Name))
		}
		return func() error { return change(mended) }, change(broken)
	}
}

// session opens one of another client's, which runs statements and stays open. It does
// so again when PostgreSQL ends it to break a deadlock.
func (w *world) session(statements ...string) (end func() error, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	end = func() error { return nil }
	err = insist(func() error {
		conn, err := w.postgres().Connect(ctx, w.db.Name)
		if err != nil {
			return err
		}
		for _, sql := range statements {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return errors.Join(err, conn.Close(context.Background()))
			}
		}
		end = func() error { return conn.Close(context.Background()) }
		return nil
	})
	return end, err
}

func lockTrail(w *world, _ *rand.Rand) (func() error, error) {
	// Without the limit that lockTimeout has the database set.
	return w.session("SET lock_timeout = 0", "BEGIN", "LOCK TABLE log_events IN ACCESS EXCLUSIVE MODE")
}

func lockSessions(w *world, _ *rand.Rand) (func() error, error) {
	return w.session("BEGIN", "SELECT FROM review_sessions ORDER BY session_id FOR UPDATE") // in the writers' order
}

func lockTimeout(w *world, r *rand.Rand) (func() error, error) {
	mend, err := alteredDatabase("SET lock_timeout = '50ms'", "RESET lock_timeout")(w, r)
	if err != nil {
		return mend, err
	}
	unlock, err := lockTrail(w, r)
	return func() error { return errors.Join(unlock(), mend()) }, err
}

// missingPartition takes the default partition away, and this month's.
func missingPartition(w *world, _ *rand.Rand) (func() error, error) {
	conn, err := w.postgres().Connect(context.Background(), w.db.Name)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.Background())
	// All that there are, with their bounds, so that all come back.
	rows, err := conn.Query(context.Background(), `SELECT c.oid::regclass::text, pg_get_expr(c.relpartbound, c.oid)
		FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = 'log_events'::regclass ORDER BY 2 DESC`)
	if err != nil {
		return nil, err
	}
	type partition struct{ Name, Bounds string }
	partitions, err := pgx.CollectRows(rows, pgx.RowToStructByPos[partition])
	if err != nil {
		return nil, err
	}
	const locks = "BEGIN; LOCK TABLE review_sessions, log_events IN ACCESS EXCLUSIVE MODE;" // in the writers' order
	detach, attach := locks, locks
	for _, p := range partitions {
		detach += fmt.Sprintf("ALTER TABLE log_events DETACH PARTITION %s;", p.Name)
		attach += fmt.Sprintf("ALTER TABLE log_events ATTACH PARTITION %s %s;", p.Name, p.Bounds)
	}
	if err := w.exec(detach + "COMMIT"); err != nil {
		return nil, err
	}
	return func() error { return w.exec(attach + "COMMIT") }, nil
}

// migrations takes the newest migration back and applies it again, a few times.
func migrations(w *world, _ *rand.Rand) (func() error, error) {
	owner, err := w.postgres().LoginConfig(w.db.Name, w.db.Owner)
	if err != nil {
		return nil, err
	}
	end := func() error { return insist(func() error { return schema.Up(context.Background(), owner) }) }
	for range 3 {
		if err := insist(func() error { return schema.Down(context.Background(), owner, 1) }); err != nil {
			return end, err
		}
		if err := end(); err != nil {
			return end, err
		}
	}
	return end, nil
}

// trailSize is what the trail takes on disk, bytes.
func (w *world) trailSize() (bytes int64, err error) {
	conn, err := w.postgres().Connect(context.Background(), w.db.Name)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.Background())
	err = conn.QueryRow(context.Background(), "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_partition_tree('log_events')").Scan(&bytes)
	return bytes, err
}

// fullDisk moves this month's partition to a file system that has not much more room
// than it takes, and fills that.
func fullDisk(w *world, _ *rand.Rand) (func() error, error) {
	none := func() error { return nil }
	postgres, err := user.Lookup("postgres")
	if err != nil {
		return none, fmt.Errorf("the server's user: %w", err)
	}
	uid, _ := strconv.Atoi(postgres.Uid)
	gid, _ := strconv.Atoi(postgres.Gid)
	dir, err := os.MkdirTemp("", "trailpost-small-")
	if err != nil {
		return none, err
	}
	room, err := w.trailSize()
	if err != nil {
		return none, errors.Join(err, os.Remove(dir))
	}
	size := fmt.Sprintf("size=%d,mode=755", room+64<<20)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", size, "tmpfs", dir).CombinedOutput(); err != nil {
		return none, errors.Join(fmt.Errorf("mount: %w: %s", err, out), os.Remove(dir))
	}
	unmount := func() error {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			return fmt.Errorf("umount: %w: %s", err, out)
		}
		return os.Remove(dir)
	}
	space := filepath.Join(dir, "space")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(space, 0o700), os.Chown(space, uid, gid)); err != nil {
		return unmount, err
	}
	if err := w.exec("CREATE TABLESPACE small LOCATION '" + space + "'"); err != nil {
		return unmount, err
	}
	const move = `DO $$ DECLARE p regclass; BEGIN
		SELECT format('log_events_%%s', to_char(now() AT TIME ZONE 'UTC', '"y"YYYY"m"MM'))::regclass INTO p;
		EXECUTE format('ALTER TABLE %%s SET TABLESPACE %s', p); END $$`
	filler := filepath.Join(dir, "filler")
	end := func() error {
		return errors.Join(os.Remove(filler), w.exec(fmt.Sprintf(move, "pg_default")), w.exec("DROP TABLESPACE small"), unmount())
	}
	if err := w.exec(fmt.Sprintf(move, "small")); err != nil {
		return end, err
	}
	f, err := os.Create(filler)
	if err != nil {
		return end, err
	}
	defer f.Close()
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		return end, err
	}
	return end, nil
}
