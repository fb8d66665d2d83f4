package attach

import (
	"context"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// Undo takes back what an attach that did not come to its end has copied into a detached month:
// those events are in the trail, and must not go elsewhere with the month, too.
func (at *Attacher) Undo(ctx context.Context, m month.Month) error {
	var begun bool
	const marked = "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1::text::regclass AND conname = 'month_of_events')"
	if err := at.Conn.QueryRow(ctx, marked, pgident.Public(m.Table())).Scan(&begun); err != nil || !begun {
		return err
	}
	columns, err := at.columns(ctx)
	if err != nil {
		return err
	}
	if _, there, err := at.monthOfOwnTable(ctx, NextDefault); err == nil && there {
		if err := at.dropNext(ctx); err != nil {
			return err
		}
	}
	var removed int64
	for from := floor(m.Start()); ; {
		var (
			n, gone int
			last    *uuid.UUID
		)
		err := at.Conn.QueryRow(ctx, replace(removeCopies, m, columns), from, at.SliceRows).Scan(&n, &gone, &last)
		if err != nil {
			return err
		}
		removed += int64(gone)
		if n < at.SliceRows {
			break
		}
		from = successor(*last)
	}
	if removed > 0 {
		at.Log.InfoContext(ctx, "an attach was not finished: what it had copied into the month is taken out again", "month", m.String(), "events", removed)
	}
	_, err = at.Conn.Exec(ctx, "ALTER TABLE "+pgident.Public(m.Table())+" DROP CONSTRAINT month_of_events")
	return err
}

// removeCopies takes away only what the default partition has, to the last column.
const removeCopies = `
	WITH d AS MATERIALIZED (
		SELECT $columns FROM ONLY public.log_events_default WHERE event_id >= $1 AND event_id < '$high' ORDER BY event_id LIMIT $2
	), gone AS (
		DELETE FROM ONLY $month m USING d
		 WHERE m.event_id = d.event_id AND ROW($m.columns) IS NOT DISTINCT FROM ROW($d.columns)
		RETURNING m.event_id
	)
	SELECT (SELECT count(*) FROM d), (SELECT count(*) FROM gone), (SELECT event_id FROM d ORDER BY event_id DESC LIMIT 1)`
