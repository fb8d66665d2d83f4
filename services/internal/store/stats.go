package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// DatabaseStats show an operator what the database will run out of.
type DatabaseStats struct {
	Size int64 // bytes of the database, from pg_database_size
	// PartitionsEnd is the time up to which there are partitions without a gap. If this month has
	// no partition, it is not after now.
	PartitionsEnd time.Time
}

// ReadDatabaseStats reads them on a connection of its own.
func ReadDatabaseStats(ctx context.Context, cfg Config) (stats DatabaseStats, err error) {
	err = withConn(ctx, cfg, func(conn *pgx.Conn) error {
		var now time.Time
		if err := conn.QueryRow(ctx, "SELECT pg_database_size(current_database()), now()").Scan(&stats.Size, &now); err != nil {
			return err
		}
		months, err := partitionBounds(ctx, conn)
		stats.PartitionsEnd = endOfPartitions(months, now)
		return err
	})
	if err != nil {
		return DatabaseStats{}, fmt.Errorf("ask for the database's statistics: %w", err)
	}
	return stats, nil
}

// timeSpan is the time of a partition, from Low until just before High.
type timeSpan struct{ Low, High time.Time }

// partitionBounds returns the times of the partitions, in order, without those that are being
// detached.
func partitionBounds(ctx context.Context, conn *pgx.Conn) ([]timeSpan, error) {
	rows, err := conn.Query(ctx, `
		SELECT public.event_id_time(bounds[1]::uuid) AS low, public.event_id_time(bounds[2]::uuid) AS high
		FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid,
			regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('(.+)'\) TO \('(.+)'\)$$) bounds
		WHERE inhparent = 'public.log_events'::regclass AND NOT inhdetachpending AND bounds IS NOT NULL
		ORDER BY low`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[timeSpan])
}

// endOfPartitions returns the end of the partitions that follow each other without a gap from the
// one that contains now. If no partition contains now, it is the end of the last one before, or
// zero.
func endOfPartitions(spans []timeSpan, now time.Time) (end time.Time) {
	for _, s := range spans {
		if s.Low.After(now) && !s.Low.Equal(end) {
			break
		}
		end = s.High
	}
	return end
}
