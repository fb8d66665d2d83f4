package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// lockHolderPause is between two looks at who holds locks: longer than most transactions of a
// writer.
const lockHolderPause = 200 * time.Millisecond

// lockHolder is a transaction that has a lock.
type lockHolder struct {
	PID         *int32 // nil: it is a prepared transaction
	Transaction string // virtual id: the session's next transaction has another
	User        string // "": it belongs to PostgreSQL itself, to autovacuum, say
	Application string
}

func (h lockHolder) String() string {
	switch {
	case h.PID == nil:
		return "a prepared transaction (pg_prepared_xacts)"
	case h.User == "":
		return fmt.Sprintf("pid %d (PostgreSQL's own, autovacuum, say)", *h.PID)
	}
	return fmt.Sprintf("pid %d (%s, %q)", *h.PID, h.User, h.Application)
}

// nameLockHolders adds to ensure_partitions' error that a lock was not available (55P03) the
// transactions that still hold one.
func nameLockHolders(ctx context.Context, conn *pgx.Conn, err error) error {
	if SQLState(err) != "55P03" {
		return err
	}
	first, lookErr := lockHolders(ctx, conn)
	if lookErr != nil {
		return errors.Join(err, lookErr)
	}
	select {
	case <-ctx.Done():
		return err
	case <-time.After(lockHolderPause):
	}
	now, lookErr := lockHolders(ctx, conn)
	if lookErr != nil {
		return errors.Join(err, lookErr)
	}
	var names []string
	for _, h := range now {
		// A transaction that began in between did not keep it waiting.
		if slices.ContainsFunc(first, func(f lockHolder) bool { return f.Transaction == h.Transaction }) && !slices.Contains(names, h.String()) {
			names = append(names, h.String())
		}
	}
	if len(names) == 0 {
		return err
	}
	return fmt.Errorf("%w; the tables are in use by %s", err, strings.Join(names, ", "))
}

// lockHolders lists other sessions' transactions with a lock that conflicts with one that
// ensure_partitions (migration 12) takes.
func lockHolders(ctx context.Context, conn *pgx.Conn) ([]lockHolder, error) {
	rows, err := conn.Query(ctx, `
		SELECT DISTINCT l.pid, l.virtualtransaction, coalesce(a.usename, ''), coalesce(a.application_name, '')
		  FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
		 WHERE l.granted AND l.locktype = 'relation' AND l.pid IS DISTINCT FROM pg_backend_pid()
		   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		   AND CASE l.relation
		       WHEN 'public.log_events_default'::regclass THEN true
		       WHEN 'public.log_events'::regclass THEN l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
		       WHEN 'public.review_sessions'::regclass THEN l.mode NOT IN ('AccessShareLock', 'RowShareLock')
		       END
		 ORDER BY l.pid`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[lockHolder])
}
