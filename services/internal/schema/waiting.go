package schema

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
)

// Who waits for a lock says on whom: after the first time, and then after each of the other.
const (
	firstReport = 2 * time.Second
	nextReport  = 30 * time.Second
)

// holder is a session that another one waits for.
type holder struct {
	PID         int32
	User        string
	Application string
}

// reportBlockers logs, until it is stopped, which sessions conn waits for. also, if not nil, is
// called then, with the other connection that asks.
func reportBlockers(ctx context.Context, conn *pgx.Conn, log *slog.Logger, also func(context.Context, *pgx.Conn) error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	pid, cc := conn.PgConn().PID(), conn.Config()
	go func() {
		defer close(ended)
		for wait := firstReport; ; wait = nextReport {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			if err := logBlockers(ctx, cc, pid, log, also); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "waiting for the database, and can't tell for whom", "error", err)
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// logBlockers asks once, on a connection of its own.
func logBlockers(ctx context.Context, cc *pgx.ConnConfig, pid uint32, log *slog.Logger, also func(context.Context, *pgx.Conn) error) error {
	conn, err := durable.Connect(ctx, cc, durable.Options{})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `
		SELECT b.pid, coalesce(a.usename, ''), coalesce(a.application_name, '')
		  FROM unnest(pg_blocking_pids($1)) b (pid) LEFT JOIN pg_stat_activity a USING (pid)
		 ORDER BY b.pid`, int32(pid)) //nolint:gosec // a process
	if err != nil {
		return err
	}
	holders, err := pgx.CollectRows(rows, pgx.RowToStructByPos[holder])
	if err != nil || len(holders) == 0 {
		return err
	}
	names := make([]string, len(holders))
	for i, h := range holders {
		names[i] = fmt.Sprintf("pid %d (%s, %q)", h.PID, h.User, h.Application)
	}
	log.WarnContext(ctx, "waiting for a lock that others hold", "holders", strings.Join(names, ", "))
	if also == nil {
		return nil
	}
	return also(ctx, conn)
}

// lock waits, without limit, for an advisory lock of the session, which ends with it. Whoever may
// connect can take one, and could stop us with it: so it isn't waited for where none of those who
// hold it could do what it is for.
func lock(ctx context.Context, conn *pgx.Conn, key int64, log *slog.Logger) error {
	ignored := ""
	stop := reportBlockers(ctx, conn, log, func(ctx context.Context, other *pgx.Conn) error {
		pid := int32(conn.PgConn().PID()) //nolint:gosec // a process
		err := other.QueryRow(ctx, powerlessHolders, pid).Scan(&ignored)
		if err == nil && ignored != "" {
			_, err = other.Exec(ctx, "SELECT pg_cancel_backend($1)", pid)
		}
		return err
	})
	_, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", key)
	stop()
	if err != nil && ignored != "" && ctx.Err() == nil && sqlState(err) == "57014" {
		log.WarnContext(ctx, "a role that could not do what this lock is for holds it: going on without", "roles", ignored)
		return nil
	}
	return err
}

// powerlessHolders are the roles that hold the advisory lock that a process waits for, if none of
// them could do what it does; else it is empty.
const powerlessHolders = `
	SELECT CASE WHEN bool_or(r.rolsuper OR r.rolcreaterole OR pg_has_role(r.oid, current_user, 'MEMBER')) THEN ''
	            ELSE coalesce(string_agg(r.rolname, ', '), '') END
	  FROM pg_locks mine
	  JOIN pg_locks l USING (locktype, database, classid, objid, objsubid)
	  JOIN pg_stat_activity a ON a.pid = l.pid
	  JOIN pg_roles r ON r.oid = a.usesysid
	 WHERE mine.pid = $1 AND mine.locktype = 'advisory' AND NOT mine.granted AND l.granted`
