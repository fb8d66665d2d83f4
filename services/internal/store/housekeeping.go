package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
)

// EnsurePartitions creates the missing partitions from last month's to that of the third month from
// now, and moves events that waited for theirs in the default partition. It returns how many it
// created. Call it at the start and then every few hours, from any number of consumers. On a busy
// system it may fail with 55P03, which is Transient, and names who holds the locks: call it again.
// In a database that the trail does not belong to it fails with ErrRestored.
func EnsurePartitions(ctx context.Context, cfg Config) (made int, err error) {
	err = withAdoptedConn(ctx, cfg, func(conn *pgx.Conn) error {
		// synchronous_commit is off so that the locks are free again before anybody waits for a
		// standby, which may be away: Settle waits.
		const question = "SELECT n FROM set_config('synchronous_commit', 'off', true), public.ensure_partitions() n"
		if err := conn.QueryRow(ctx, question).Scan(&made); err != nil {
			return nameLockHolders(ctx, conn, err)
		}
		return durable.Sync(ctx, conn)
	})
	if err != nil {
		return made, fmt.Errorf("making partitions: %w", err)
	}
	return made, nil
}

// Analyze has PostgreSQL gather the statistics of the trail as a whole, by which it plans queries
// of more than a month, unless that was done within a day; with again, in any case. Call it every
// few hours, from any number of consumers. It takes at most limit, and has no effect when it
// reaches that: before PostgreSQL 18 it takes as long as analyzing every partition. It reports
// whether it gathered them.
func Analyze(ctx context.Context, cfg Config, again bool, limit time.Duration) (done bool, err error) {
	err = withConn(ctx, cfg, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SELECT set_config('statement_timeout', $1, false)", fmt.Sprintf("%dms", limit.Milliseconds())); err != nil {
			return err
		}
		return conn.QueryRow(ctx, "SELECT public.analyze_trail($1)", again).Scan(&done)
	})
	if err != nil {
		return false, fmt.Errorf("analyzing the trail: %w", err)
	}
	return done, nil
}

// DefaultRows counts the events whose month had no partition when they came. It should be 0; if it
// isn't, EnsurePartitions is not being called, or fails.
func DefaultRows(ctx context.Context, cfg Config) (n int64, err error) {
	err = withConn(ctx, cfg, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT public.default_partition_rows()").Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("counting the default partition: %w", err)
	}
	return n, nil
}

// NoteHorizon writes down up to where the trail is complete, and the epoch if that is new:
// followers go back to there after a crash or a restore (migration 10, docs/following.md). Call it
// at the start and then each minute, from any number of consumers. It returns when the noted
// horizon last moved, by the database's clock: just now, unless another session is noting it, or a
// transaction that has written something, in any database of the cluster, has been open since then.
// In a database that the trail does not belong to it fails with ErrRestored.
func NoteHorizon(ctx context.Context, cfg Config) (moved time.Time, err error) {
	err = withAdoptedConn(ctx, cfg, func(conn *pgx.Conn) error {
		var at *time.Time
		err := conn.QueryRow(ctx, "SELECT public.note_horizon()").Scan(&at)
		if at != nil {
			moved = *at
		}
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("noting the horizon: %w", err)
	}
	return moved, nil
}
