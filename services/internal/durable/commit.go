package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrUnconfirmed is a transaction that is committed on the server that was asked, while the wait
// for its synchronous standby was cancelled. It passes: do the same again, and SyncOnCommit or Sync
// what is found to be there.
var ErrUnconfirmed = errors.New("committed on this server, but the wait for its synchronous standby was cancelled")

// ErrCommitSent is a transaction of which nobody knows whether it is committed: its time was up
// after COMMIT was sent. To try less at once is no help, where that waits for a standby.
var ErrCommitSent = errors.New("waiting for COMMIT to be answered (by a synchronous standby, too, where synchronous_standby_names says so)")

// Tx does f in a transaction, and ends it. It returns nil when that is committed and as durable as
// the database is set to make it; when f fails, its error, after a rollback, and a rollback that
// fails ends the connection. conn must be Connect's.
func Tx(ctx context.Context, conn *pgx.Conn, opts pgx.TxOptions, f func(pgx.Tx) error) error {
	w, err := commitWatchOf(conn)
	if err != nil {
		return err
	}
	committing := false
	err = pgx.BeginTxFunc(ctx, conn, opts, func(tx pgx.Tx) error {
		if err := f(tx); err != nil {
			return err
		}
		committing = true
		w.begin()
		return nil
	})
	if !committing {
		return err
	}
	return w.end(ctx, err)
}

// Sync waits until all that this session has seen is as durable as the database is set to make it,
// whoever committed it, and how. It must not be called within a transaction. conn must be
// Connect's.
func Sync(ctx context.Context, conn *pgx.Conn) error {
	w, err := commitWatchOf(conn)
	if err != nil {
		return err
	}
	w.begin()
	_, err = conn.Exec(ctx, emitMessage)
	return w.end(ctx, explainRevoked(err))
}

// SyncOnCommit lets the commit of a transaction that has written nothing, or may have, wait as that
// of one that wrote.
func SyncOnCommit(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, emitMessage)
	return explainRevoked(err)
}

// emitMessage writes an empty message to the log, which nobody has to read (logical decoding shows
// it to a client that asks for messages, with our prefix). To be given a transaction id alone, by
// pg_current_xact_id(), lets no commit wait: PostgreSQL waits for a transaction that has one and
// has written to the log before it commits (RecordTransactionCommit).
const emitMessage = "SELECT pg_catalog.pg_logical_emit_message(true, 'trailpost', '')"

func explainRevoked(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "42501" {
		return fmt.Errorf("%w: anybody may call it, unless somebody has revoked that; GRANT EXECUTE on it to the role", err)
	}
	return err
}

// commitWatch notes what a connection's server says while it commits.
type commitWatch struct {
	log     *slog.Logger
	warning *pgconn.Notice
	slow    *time.Timer
}

// commitWatchKey is where a connection's custom data has its commitWatch.
const commitWatchKey = "trailpost.durable"

func commitWatchOf(conn *pgx.Conn) (*commitWatch, error) {
	w, ok := conn.PgConn().CustomData()[commitWatchKey].(*commitWatch)
	if !ok {
		return nil, errors.New("durable: the connection is not one of durable.Connect's")
	}
	return w, nil
}

// onNotice is a connection's OnNotice. Of what may come beside the answer to a COMMIT, a warning of
// class 01 is that the wait for a standby was cancelled (01000), one of class 57 that it was
// because the session is to end (57P01, after which nothing comes). They have no code of their own,
// their text is translated, and which file of PostgreSQL's source says it is for people; so any
// such warning counts. One of a trigger's own that is taken for it costs a retry that finds the
// rows.
func onNotice(conn *pgconn.PgConn, notice *pgconn.Notice) {
	severity := notice.SeverityUnlocalized
	if severity == "" { // an old server, or something between
		severity = notice.Severity
	}
	if severity == "WARNING" && (strings.HasPrefix(notice.Code, "01") || strings.HasPrefix(notice.Code, "57")) {
		if w, ok := conn.CustomData()[commitWatchKey].(*commitWatch); ok {
			w.warning = notice
		}
	}
}

// slowCommit is after how long a commit is spoken of.
const slowCommit = 10 * time.Second

func (w *commitWatch) begin() {
	w.warning = nil
	if w.log != nil {
		w.slow = time.AfterFunc(slowCommit, func() {
			w.log.Warn("a commit waits: is there a synchronous standby (synchronous_standby_names) that does not answer?")
		})
	}
}

func (w *commitWatch) end(ctx context.Context, err error) error {
	if w.slow != nil {
		w.slow.Stop()
	}
	switch {
	case w.warning != nil && err == nil:
		return fmt.Errorf("%w: %s", ErrUnconfirmed, w.warning.Message)
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ErrCommitSent, err)
	}
	return err
}
