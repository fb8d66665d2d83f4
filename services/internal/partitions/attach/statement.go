package attach

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// columnList are the trail's columns, in their order.
type columnList []string

func (at *Attacher) columns(ctx context.Context) (columnList, error) {
	rows, err := at.Conn.Query(ctx, `SELECT quote_ident(attname) FROM pg_attribute
		WHERE attrelid = 'public.log_events'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// of lists the columns of a table of a query.
func (c columnList) of(table string) string {
	if table != "" {
		table += "."
	}
	return table + strings.Join(c, ", "+table)
}

// replace fills in a statement: $month is the month's table, $first its first day, $low and $high
// its bounds, $columns the trail's columns, $m.columns and $d.columns those of a table m or d.
func replace(statement string, m month.Month, columns columnList) string {
	return strings.NewReplacer(
		"$month", pgident.Public(m.Table()), "$first", m.Start().Format(time.DateOnly),
		"$low", floor(m.Start()).String(), "$high", floor(m.End()).String(),
		"$columns", columns.of(""), "$m.columns", columns.of("m"), "$d.columns", columns.of("d"),
		"$verdict", verdict(columns),
	).Replace(statement)
}

// verdict judges a late row d beside the month's row m of the same id, if there is one: they are
// the same row when an attach that was killed has copied it, and the same event when store.Writer
// finds that.
func verdict(columns columnList) string {
	return `CASE
		WHEN m.event_id IS NULL THEN 'missing'
		WHEN ROW(` + columns.of("m") + `) IS NOT DISTINCT FROM ROW(` + columns.of("d") + `) THEN 'copied'
		WHEN m.session_id IS NOT DISTINCT FROM d.session_id AND m.event_type = d.event_type AND m.username IS NOT DISTINCT FROM d.username
			AND m."timestamp" = d."timestamp" AND m.source IS NOT DISTINCT FROM d.source AND m.source_id IS NOT DISTINCT FROM d.source_id
			AND CASE WHEN d.source IS NULL THEN m.payload = d.payload
				ELSE m.payload - '{unsigned,_trailpost}'::text[] = d.payload - '{unsigned,_trailpost}'::text[] END THEN 'duplicate'
		ELSE 'conflict' END`
}

// floor is event_id_floor of migration 3.
func floor(t time.Time) uuid.UUID {
	var id uuid.UUID
	for i, ms := 5, t.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		id[i] = byte(ms & 0xff)
	}
	return id
}
