package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
)

// EnsurePartitions makes the partitions of the months from the last to the third from now where they are missing, and
// moves events that waited for theirs in the default partition. It returns how many it made. Call it at the start and then every few hours, from
// any number of consumers. On a busy system it may fail with 55P03, which is Transient, and names who is in the way: come again. In a
// database that the trail does not belong to it fails with ErrRestored.
func EnsurePartitions(ctx context.Context, cfg Config) (made int, err error) {
	err = askHome(ctx, cfg, func(conn *pgx.Conn) error {
		// The locks that it needs are free before anybody waits for a standby, which may be away: Sync waits.
		const question = "SELECT n FROM set_config('synchronous_commit', 'off', true), public.ensure_partitions() n"
		if err := conn.QueryRow(ctx, question).Scan(&made); err != nil {
			return nameHolders(ctx, conn, err)
		}
		return durable.Sync(ctx, conn)
	})
	if err != nil {
		return made, fmt.Errorf("making partitions: %w", err)
	}
	return made, nil
}

// Analyze has PostgreSQL look at the trail as a whole, by which it plans queries of more than a month, unless that was done within a
// day; again: all the same. Call it every few hours, from any number of consumers. It takes at most limit, and has then done nothing:
// before PostgreSQL 18 it takes as long as looking at each partition. It returns whether it did it.
func Analyze(ctx context.Context, cfg Config, again bool, limit time.Duration) (done bool, err error) {
	err = ask(ctx, cfg, func(conn *pgx.Conn) error {
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

// DefaultRows counts the events whose month had no partition when they came. It should be 0; if it isn't,
// EnsurePartitions is not being called, or fails.
func DefaultRows(ctx context.Context, cfg Config) (n int64, err error) {
	err = ask(ctx, cfg, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "SELECT public.default_partition_rows()").Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("counting the default partition: %w", err)
	}
	return n, nil
}
