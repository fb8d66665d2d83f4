package schema

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/golang-migrate/migrate/v4/database"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/pglock"
)

// closeTimeout is how long a goodbye to the server may take.
const closeTimeout = 5 * time.Second

// driver is golang-migrate's view of one session. See the package's documentation for how it
// differs from the stock one.
type driver struct {
	ctx  context.Context // of the call that owns this driver: the library's interface has no room for it
	conn *pgx.Conn
	log  *slog.Logger
	// at is the version that the database is at, by what Version and Run have seen.
	at int
	// next is the version that Run is about to reach, as SetVersion announced it.
	next int
	// done says that Run has recorded next.
	done bool
}

// connect opens the session.
func connect(ctx context.Context, cc *pgx.ConnConfig, o options) (*driver, error) {
	conn, err := durable.Connect(ctx, cc, durable.Options{Settings: sessionSettings, ReadOnlyToo: o.reads, Log: o.log})
	if err != nil {
		return nil, err
	}
	return &driver{ctx: ctx, conn: conn, log: o.log, at: database.NilVersion}, nil
}

// sessionSettings leads to public, as the functions and grants of the migrations are: a role's own
// search_path must not lead elsewhere.
const sessionSettings = `SET search_path = public`

// Lock waits until no other process migrates this database, without limit.
func (d *driver) Lock() error {
	const table, schema = "schema_migrations", "public"
	text, err := database.GenerateAdvisoryLockId(d.conn.Config().Database, schema, table)
	if err != nil {
		return err
	}
	key, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return err
	}
	if err := lock(d.ctx, d.conn, key, d.log); err != nil {
		return fmt.Errorf("waiting for another migration to end: %w", err)
	}
	return nil
}

// Unlock does nothing: the lock is the session's, and ends with it.
func (d *driver) Unlock() error { return nil }

// SetVersion is called before a step (dirty) and after it (clean). Before, it is the place to stop
// when there is no time for another step, and notes where the step leads; after, Run has recorded
// that already. Only a forced version is written here.
func (d *driver) SetVersion(version int, dirty bool) error {
	if dirty {
		d.next, d.done = version, false
		return context.Cause(d.ctx)
	}
	if d.done && d.next == version {
		return nil
	}
	return d.transact(func(ctx context.Context, tx pgx.Tx) error {
		if err := createTable(ctx, tx); err != nil {
			return err
		}
		return record(ctx, tx, version)
	})
}

// patience is how long a step whose locks others hold is tried, again and again. The steps that
// others have to wait behind give way themselves, by a short lock_timeout.
const patience = 10 * time.Minute

// lockedTables returns the tables whose holders are named: all that there are.
func (d *driver) lockedTables() ([]string, error) {
	rows, err := d.conn.Query(d.ctx, "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v')")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Run does one step: the file's statements and its record, together or not at all.
func (d *driver) Run(migration io.Reader) error {
	script, err := io.ReadAll(migration)
	if err != nil {
		return err
	}
	defer reportBlockers(d.ctx, d.conn, d.log, nil)()
	locks := pglock.Locker{Conn: d.conn, Log: d.log, Patience: patience}
	var cancelled error
	tables, err := d.lockedTables()
	if err != nil {
		return err
	}
	err = locks.Retry(d.ctx, tables, func() error {
		err := d.transact(func(ctx context.Context, tx pgx.Tx) error {
			if err := createTable(ctx, tx); err != nil {
				return err
			}
			if err := requireVersion(ctx, tx, d.at); err != nil {
				return err
			}
			if _, err := tx.Conn().PgConn().Exec(ctx, string(script)).ReadAll(); err != nil {
				return atLine(string(script), err)
			}
			return record(ctx, tx, d.next)
		})
		if sqlState(err) == "57014" { // there is no time limit here, so somebody has cancelled it
			cancelled = err
			return nil
		}
		return err
	})
	if cancelled != nil {
		err = cancelled
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "55P03" { // lock_not_available
		return fmt.Errorf("the step to version %d has changed nothing, since others held what it locks; run it again when they don't: %w", max(d.next, 0), err)
	}
	if err != nil {
		return fmt.Errorf("the step to version %d: %w", max(d.next, 0), err)
	}
	d.at, d.done = d.next, true
	return nil
}

// Version reads what record wrote, -1 when there is nothing.
func (d *driver) Version() (version int, dirty bool, err error) {
	version, dirty, err = d.version()
	d.at = version
	return version, dirty, err
}

func (d *driver) version() (version int, dirty bool, err error) {
	var exists bool
	if err := d.conn.QueryRow(d.ctx, "SELECT to_regclass('schema_migrations') IS NOT NULL").Scan(&exists); err != nil {
		return 0, false, err
	}
	if !exists {
		return database.NilVersion, false, nil
	}
	err = d.conn.QueryRow(d.ctx, "SELECT version, dirty FROM schema_migrations LIMIT 1").Scan(&version, &dirty)
	if errors.Is(err, pgx.ErrNoRows) {
		return database.NilVersion, false, nil
	}
	return version, dirty, err
}

// Close ends the session.
func (d *driver) Close() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), closeTimeout)
	defer cancel()
	return d.conn.Close(ctx)
}

// Open is for drivers that are found by the scheme of a URL. This one is not.
func (d *driver) Open(string) (database.Driver, error) {
	return nil, errors.New("schema: the driver is made from a connection, not from a URL")
}

// Drop is refused: DownAll takes the schema back step by step, and nothing here empties a database
// of what is not ours.
func (d *driver) Drop() error {
	return errors.New("schema: dropping a database is not supported, take the migrations back instead")
}

// transact does not hear the end of the driver's context: a step that has begun is finished.
func (d *driver) transact(f func(context.Context, pgx.Tx) error) error {
	ctx := context.WithoutCancel(d.ctx)
	return durable.Tx(ctx, d.conn, pgx.TxOptions{}, func(tx pgx.Tx) error { return f(ctx, tx) })
}

// createTable makes the table that golang-migrate's drivers share. The writer reads it to know
// whether it may start.
func createTable(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Conn().PgConn().Exec(ctx, `
		DO $$
		BEGIN
			IF to_regclass('public.schema_migrations') IS NULL THEN
				CREATE TABLE public.schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);
				GRANT SELECT ON public.schema_migrations TO trailpost_writer, trailpost_reader;
			END IF;
		END
		$$`).ReadAll()
	return err
}

// requireVersion makes sure, until the end of the transaction, that nobody else has moved the
// database from the version that it was at: the lock may have been another role's (see lock).
func requireVersion(ctx context.Context, tx pgx.Tx, version int) error {
	if _, err := tx.Exec(ctx, "LOCK TABLE schema_migrations IN EXCLUSIVE MODE"); err != nil {
		return err
	}
	now := database.NilVersion
	err := tx.QueryRow(ctx, "SELECT version FROM schema_migrations LIMIT 1").Scan(&now)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if now != version {
		return fmt.Errorf("another migration has moved the database from version %d to %d meanwhile: run this one again", max(version, 0), max(now, 0))
	}
	return nil
}

// record notes the version. A database without the schema has no table of versions either, so that
// the last step down leaves nothing behind.
func record(ctx context.Context, tx pgx.Tx, version int) error {
	if version == database.NilVersion {
		_, err := tx.Exec(ctx, "DROP TABLE schema_migrations")
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM schema_migrations"); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "INSERT INTO schema_migrations (version, dirty) VALUES ($1, false)", version)
	return err
}

// sqlState is "" where the error isn't PostgreSQL's.
func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// atLine adds to a PostgreSQL error the line of the script that it points at, counted from 1.
func atLine(script string, err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || pg.Position == 0 {
		return err
	}
	before := []rune(script)
	before = before[:min(int(pg.Position)-1, len(before))]
	return fmt.Errorf("line %d: %w", 1+strings.Count(string(before), "\n"), err)
}
