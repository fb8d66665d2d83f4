package partitions

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

// Retirements reads retired_months.
func (s *Session) Retirements(ctx context.Context) ([]export.Retirement, error) {
	rows, err := s.conn.Query(ctx, `
		SELECT to_char(month, 'YYYY-MM'), dropped_at, event_count, export, export_sha256, content_sha256
		  FROM public.retired_months WHERE export IS NOT NULL ORDER BY month, dropped_at`)
	if err != nil {
		return nil, fmt.Errorf("reading retired_months: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r export.Retirement, err error) {
		var text string
		if err := row.Scan(&text, &r.DroppedAt, &r.Rows, &r.Export, &r.SHA256, &r.ContentSHA256); err != nil {
			return r, err
		}
		r.Month, err = month.Parse(text)
		return r, err
	})
}

// lastUsed is the number of the last export that may have been made of a month's table while it was
// detached before. Each time ended in a row of retired_months or of attached_months. An export that
// was made before an attach, or before a drop without one, is recorded nowhere: so each time counts
// for a name, whether it was used or not.
func (s *Session) lastUsed(ctx context.Context, m month.Month) (last int, err error) {
	const ends = `
		SELECT export FROM (
			SELECT dropped_at, coalesce(export, '') FROM public.retired_months WHERE month = $1
			UNION ALL SELECT attached_at, '' FROM public.attached_months WHERE month = $1
		) ends (ended_at, export) ORDER BY ended_at`
	rows, err := s.conn.Query(ctx, ends, m.Start())
	if err != nil {
		return 0, err
	}
	var file string
	_, err = pgx.ForEachRow(rows, []any{&file}, func() error {
		last++
		if n, ok := export.Number(file, m); ok {
			last = max(last, n)
		}
		return nil
	})
	return last, err
}
