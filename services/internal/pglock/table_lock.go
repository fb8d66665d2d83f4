package pglock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/pgident"
	"github.com/trailpost/trailpost/services/internal/retry"
)

// TableLock is a lock on a table that lasts longer than the transactions of a session: a
// transaction of a connection that is there for nothing else holds it. Any role that may connect
// could take PostgreSQL's own locks of sessions (advisory locks), and keep us from work; a lock on
// a table needs a right to the table that goes beyond SELECT. The table should be one that hardly
// anybody writes to; the mode (SHARE UPDATE EXCLUSIVE) is one that writers don't meet.
type TableLock struct {
	conn  *pgx.Conn
	table string
}

// OpenTable connects, to lock a table; it takes nothing yet.
func (l *Locker) OpenTable(ctx context.Context, table string) (*TableLock, error) {
	conn, err := durable.Connect(ctx, l.Conn.Config(), durable.Options{Settings: l.Settings})
	if err != nil {
		return nil, err
	}
	return &TableLock{conn: conn, table: table}, nil
}

// Try takes the lock, unless another has it: then it is an ErrBusy that names them.
func (l *TableLock) Try(ctx context.Context) error {
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

// TryFor tries until it has the lock, or as long as the limit: then it is an ErrBusy, too.
func (l *TableLock) TryFor(ctx context.Context, limit time.Duration) error {
	for start := time.Now(); ; {
		err := l.Try(ctx)
		if err == nil || !errors.Is(err, ErrBusy) || time.Since(start) > limit {
			return err
		}
		if err := retry.Sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// held is the error that names the holders.
func (l *TableLock) held(ctx context.Context) error {
	who, err := holdersOf(ctx, l.conn, []string{l.table}, []string{"AccessShareLock", "RowShareLock", "RowExclusiveLock"})
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrBusy, who.names())
}

// Check fails where the lock may be somebody else's by now: with the connection it is gone.
func (l *TableLock) Check(ctx context.Context) error {
	if l == nil {
		return nil
	}
	if _, err := l.conn.Exec(ctx, "SELECT"); err != nil {
		return fmt.Errorf("the lock on %s is lost: %w", l.table, err)
	}
	return nil
}

// Release gives it back.
func (l *TableLock) Release(ctx context.Context) error {
	if l == nil {
		return nil
	}
	return l.conn.Close(ctx)
}
