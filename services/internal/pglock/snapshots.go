package pglock

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/retry"
)

// errOldSnapshot says that a transaction sees the trail as it was before something was prepared for
// it.
var errOldSnapshot = errors.New("a transaction has an older snapshot")

// WaitForOlderSnapshots waits a moment until no other session of this database has a snapshot that
// it has now. errOldSnapshot names those that have theirs for longer.
func (l *Locker) WaitForOlderSnapshots(ctx context.Context) error {
	old, err := l.snapshots(ctx)
	for start := time.Now(); err == nil && len(old) > 0; {
		if time.Since(start) > time.Second {
			return fmt.Errorf("%w%s", errOldSnapshot, old)
		}
		if err := retry.Sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		var now holders
		now, err = l.snapshots(ctx)
		old = now.andBefore(old, 2)
	}
	return err
}

// snapshots lists other sessions' transactions that have a snapshot, each with it. (Of a READ
// COMMITTED one, each statement has a new one, which looks like the one before it where an older
// transaction is still open: then it is waited for as a whole.)
func (l *Locker) snapshots(ctx context.Context) (holders, error) {
	rows, err := l.Conn.Query(ctx, `
		SELECT a.pid, concat(l.virtualtransaction, ' ', a.backend_xmin), coalesce(a.usename, ''), coalesce(a.application_name, '')
		  FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'virtualxid' AND l.granted
		 WHERE a.backend_xmin IS NOT NULL AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid() AND a.datname = current_database()`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[holder])
}
