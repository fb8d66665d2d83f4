package partitions

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// Locks that last longer than the transactions of a session. Any role that may connect could take PostgreSQL's own (advisory locks), and keep us from work; a
// lock on a table needs a right to the table that goes beyond SELECT. The tables are such that hardly anybody writes to, and the
// mode (SHARE UPDATE EXCLUSIVE) one that writers don't meet.
const (
	workLock   = "retired_months"  // one session at a time changes partitions
	ensureLock = "attached_months" // ensure_partitions' own (migration 12)
)

// tableLock is a lock on a table, held by a transaction of a connection that is there for nothing else.
type tableLock struct {
	conn  *pgx.Conn
	table string
}

// openLock connects; it takes nothing yet.
func (s *Session) openLock(ctx context.Context, table string) (*tableLock, error) {
	conn, err := durable.Connect(ctx, s.conn.Config(), durable.Options{Settings: settings})
	if err != nil {
		return nil, err
	}
	return &tableLock{conn: conn, table: table}, nil
}

// try takes the lock, unless another has it: then it is an errBusy that names them.
func (l *tableLock) try(ctx context.Context) error {
	for _, statement := range []string{"BEGIN", "LOCK TABLE ONLY " + pgident.Public(l.table) + " IN SHARE UPDATE EXCLUSIVE MODE NOWAIT"} {
		if _, err := l.conn.Exec(ctx, statement); err != nil {
			_, endErr := l.conn.Exec(ctx, "ROLLBACK")
			if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "55P03" && endErr == nil {
				return l.held(ctx)
			}
			return errors.Join(err, endErr)
		}
	}
	return nil
}

// held says who has it.
func (l *tableLock) held(ctx context.Context) error {
	who, err := holdersOf(ctx, l.conn, []string{l.table}, []string{"AccessShareLock", "RowShareLock", "RowExclusiveLock"})
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errBusy, who.names())
}

// check fails where the lock may be somebody else's by now: with the connection it is gone.
func (l *tableLock) check(ctx context.Context) error {
	if l == nil {
		return nil
	}
	if _, err := l.conn.Exec(ctx, "SELECT"); err != nil {
		return fmt.Errorf("the lock on %s is lost: %w", l.table, err)
	}
	return nil
}

// release gives it back.
func (l *tableLock) release(ctx context.Context) error {
	if l == nil {
		return nil
	}
	return l.conn.Close(ctx)
}
