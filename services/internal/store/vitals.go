package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Vitals are what an operator wants to know of the database before it is too late.
type Vitals struct {
	Size          int64     // bytes of the database, as pg_database_size has them
	PartitionsEnd time.Time // up to which months have partitions, without a gap; not after now if this month has none
}

// ReadVitals asks for them, on a connection of its own.
func ReadVitals(ctx context.Context, cfg Config) (v Vitals, err error) {
	err = ask(ctx, cfg, func(conn *pgx.Conn) error {
		var now time.Time
		if err := conn.QueryRow(ctx, "SELECT pg_database_size(current_database()), now()").Scan(&v.Size, &now); err != nil {
			return err
		}
		months, err := partitionBounds(ctx, conn)
		v.PartitionsEnd = endOf(months, now)
		return err
	})
	if err != nil {
		return Vitals{}, fmt.Errorf("ask for the database's statistics: %w", err)
	}
	return v, nil
}

// span is a partition's time, from low until just before high.
type span struct{ Low, High time.Time }

// partitionBounds returns the times of the partitions, in order. One that is being detached is none any more.
func partitionBounds(ctx context.Context, conn *pgx.Conn) ([]span, error) {
	rows, err := conn.Query(ctx, `
		SELECT public.event_id_time(bounds[1]::uuid) AS low, public.event_id_time(bounds[2]::uuid) AS high
		FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid,
			regexp_match(pg_get_expr(c.relpartbound, c.oid), $$FROM \('(.+)'\) TO \('(.+)'\)$$) bounds
		WHERE inhparent = 'public.log_events'::regclass AND NOT inhdetachpending AND bounds IS NOT NULL
		ORDER BY low`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[span])
}

// endOf returns the end of the unbroken row of partitions that has now in it. If there is none, it is that of the
// last one before now; zero without any.
func endOf(spans []span, now time.Time) (end time.Time) {
	for _, s := range spans {
		if s.Low.After(now) && !s.Low.Equal(end) {
			break
		}
		end = s.High
	}
	return end
}
