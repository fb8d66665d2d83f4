package pglock

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// holder is a transaction that has a lock.
type holder struct {
	PID         int32
	Transaction string // its virtual id: a session's next transaction has another
	User        string
	Application string
}

type holders []holder

// holders lists other sessions' transactions with a lock on one of the tables.
func (l *Locker) holders(ctx context.Context, tables []string) (holders, error) {
	return holdersOf(ctx, l.Conn, tables, nil)
}

// holdersOf is the same by a connection, but for locks of some modes.
func holdersOf(ctx context.Context, conn *pgx.Conn, tables, except []string) (holders, error) {
	rows, err := conn.Query(ctx, `
		SELECT DISTINCT l.pid, l.virtualtransaction, coalesce(a.usename, ''), coalesce(a.application_name, '')
		  FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
		 WHERE l.granted AND l.locktype = 'relation' AND l.pid <> pg_backend_pid()
		   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		   AND l.relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY ($1))
		   AND l.mode <> ALL (coalesce($2::text[], '{}'))
		 ORDER BY l.pid`, tables, except)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[holder])
}

// andBefore keeps those that were there at the attempts before, too.
func (h holders) andBefore(before holders, attempt int) holders {
	if attempt == 1 {
		return h
	}
	var both holders
	for _, now := range h {
		for _, then := range before {
			if now == then {
				both = append(both, now)
			}
		}
	}
	return both
}

// String is for the middle of an error.
func (h holders) String() string {
	if len(h) == 0 {
		return ""
	}
	return "; all that time the tables were in use by " + h.names()
}

func (h holders) names() string {
	names := make([]string, len(h))
	for i, one := range h {
		names[i] = fmt.Sprintf("pid %d (%s, %q)", one.PID, one.User, one.Application)
	}
	return strings.Join(names, ", ")
}
