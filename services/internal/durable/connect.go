package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Options are what Connect needs to know. The zero value is the default of each.
type Options struct {
	// Settings are statements for the session, without parameters. They are part of the round trip
	// that Connect needs anyway.
	Settings string
	// ReadOnlyToo takes a server that only reads where there is none that writes, for callers that
	// only read.
	ReadOnlyToo bool
	// Log is told when a commit takes long, since it may wait for ever.
	Log *slog.Logger
}

// readOnly is SQLSTATE read_only_sql_transaction, which PostgreSQL gives a statement that can't
// write, and Connect a server on which none can.
const readOnly = "25006"

// Connect opens a connection to the first of cc's hosts that takes writes, as libpq's
// target_session_attrs=read-write does: an address may lead to a standby for a while, and a session
// that has met one stays there as long as it lasts. Without such a host the error is a
// *pgconn.PgError with SQLSTATE 25006, and names each host.
//
// synchronous_commit is on, where the role, the database or the server has set less (off, local).
// remote_write, and what is stronger than on, stay: they are what somebody wanted of the standbys.
// No time limit of the role's, the database's or the server's holds: the same batch would meet it
// for ever; callers have limits of their own. A pooler that pools transactions is an ErrPooled.
func Connect(ctx context.Context, cc *pgx.ConnConfig, opts Options) (*pgx.Conn, error) {
	conn, err := connect(ctx, cc, opts, true)
	if pg, ok := errors.AsType[*pgconn.PgError](err); opts.ReadOnlyToo && ok && pg.Code == readOnly {
		return connect(ctx, cc, opts, false)
	}
	return conn, err
}

func connect(ctx context.Context, cc *pgx.ConnConfig, opts Options, writes bool) (*pgx.Conn, error) {
	cc = cc.Copy()
	cc.OnNotice = onNotice
	cc.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		conn.CustomData()[commitWatchKey] = &commitWatch{log: opts.Log}
		return prepare(ctx, conn, opts.Settings, writes)
	}
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return nil, err
	}
	if err := refusePooler(ctx, cc, conn); err != nil {
		return nil, errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	return conn, nil
}

// serverState sets synchronous_commit, and asks what the server is, and which of its processes
// answers. It goes by the default of transactions, which Settings may just have changed.
const serverState = `
	SELECT CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
			THEN set_config('synchronous_commit', 'on', false) END,
		CASE WHEN pg_is_in_recovery() THEN 'it is a standby'
			WHEN current_setting('default_transaction_read_only')::boolean THEN 'default_transaction_read_only is on, for it, the database or the role'
			ELSE '' END,
		pg_backend_pid()`

// baseSettings are the settings of all sessions, before Options.Settings. Warnings are wanted,
// since one of them is the only sign of a COMMIT whose wait was cancelled. Some of the limits are
// newer than PostgreSQL 13.
const baseSettings = `
	SELECT set_config('client_min_messages', 'notice', false), set_config('lock_timeout', '0', false),
		set_config('idle_in_transaction_session_timeout', '0', false),
		CASE WHEN current_setting('idle_session_timeout', true) IS NOT NULL THEN set_config('idle_session_timeout', '0', false) END;`

// prepare does both on a connection that has just been opened.
func prepare(ctx context.Context, conn *pgconn.PgConn, settings string, writes bool) error {
	if settings != "" {
		settings += ";"
	}
	results, err := withoutLimits(ctx, conn, baseSettings+settings+serverState)
	if err != nil {
		return err
	}
	answer := results[len(results)-1].Rows[0]
	if string(answer[2]) != fmt.Sprint(conn.PID()) {
		conn.CustomData()[pooledKey] = true
	}
	reason := string(answer[1])
	if reason == "" || !writes {
		return nil
	}
	return &pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: readOnly, Message: "this server only reads: " + reason}
}
