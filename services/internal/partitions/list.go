package partitions

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// State is where a month is.
type State string

const (
	Attached State = "attached" // a part of log_events
	Detached State = "detached" // a table of its own, with all its rows
	Default  State = "default"  // the partition of rows without a month's
	Dropped  State = "dropped"  // its events are in the export, if it has one
)

// Partition is a month of the trail, or the default partition.
type Partition struct {
	Month month.Month `json:"month,omitzero"`
	State State       `json:"state"`
	Table string      `json:"table"`
	// Rows is nil where PostgreSQL has no estimate yet.
	Rows  *int64 `json:"rows"`
	Exact bool   `json:"rows_are_exact"`
	// Bytes has the indexes with it.
	Bytes int64 `json:"bytes"`

	// Of dropped months alone. Export is "" when there was none.
	DroppedAt    time.Time `json:"dropped_at,omitzero"`
	Export       string    `json:"export,omitempty"`
	ExportSHA256 string    `json:"export_sha256,omitempty"`
}

// List returns the months, oldest first, and the default partition. Rows are PostgreSQL's estimates
// unless exact, which counts them; those of the default partition, which should have none, are
// always counted.
func (s *Session) List(ctx context.Context, exact bool) ([]Partition, error) {
	list, err := s.list(ctx, exact)
	if err != nil {
		return nil, fmt.Errorf("listing partitions: %w", err)
	}
	return list, nil
}

func (s *Session) list(ctx context.Context, exact bool) ([]Partition, error) {
	tables, err := s.tables(ctx)
	if err != nil {
		return nil, err
	}
	for i := range tables {
		p := &tables[i]
		// In a query of its own: it waits for an exclusive lock on the table, which the other
		// commands need not do.
		const size = "SELECT coalesce(pg_total_relation_size(to_regclass($1)), 0)"
		if err := s.conn.QueryRow(ctx, size, pgident.Public(p.Table)).Scan(&p.Bytes); err != nil {
			return nil, err
		}
		if !exact && p.State != Default {
			continue
		}
		var n int64
		if err := s.conn.QueryRow(ctx, "SELECT count(*) FROM ONLY "+pgident.Public(p.Table)).Scan(&n); err != nil {
			return nil, err
		}
		p.Rows, p.Exact = &n, true
	}
	dropped, err := s.dropped(ctx)
	return append(dropped, tables...), err
}

// tables lists what is in the database, in the order of the months, the default partition last. A
// table that is named otherwise than ensure_partitions names them is somebody else's, and left
// alone. The question takes no locks but the catalogs'.
func (s *Session) tables(ctx context.Context) ([]Partition, error) {
	rows, err := s.conn.Query(ctx, `
		SELECT c.relname::text, i.inhrelid IS NOT NULL, EXISTS (SELECT FROM pg_partitioned_table WHERE partdefid = c.oid),
		       nullif(c.reltuples, -1)::bigint
		  FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = 'public.log_events'::regclass
		 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
		   AND (i.inhrelid IS NOT NULL OR c.relname LIKE 'log\_events\_y%')
		 ORDER BY 3, c.relname`)
	if err != nil {
		return nil, err
	}
	var (
		tables              []Partition
		one                 Partition
		attached, isDefault bool
	)
	_, err = pgx.ForEachRow(rows, []any{&one.Table, &attached, &isDefault, &one.Rows}, func() error {
		m, named := month.OfTable(one.Table)
		p := Partition{Month: m, Table: one.Table, Rows: one.Rows, State: Detached}
		switch {
		case isDefault:
			p.State = Default
		case attached:
			p.State = Attached
		}
		if named || isDefault {
			tables = append(tables, p)
		}
		one.Rows = nil
		return nil
	})
	return tables, err
}

func (s *Session) dropped(ctx context.Context) ([]Partition, error) {
	rows, err := s.conn.Query(ctx, `
		SELECT to_char(month, 'YYYY-MM'), event_count, dropped_at, coalesce(export, ''), coalesce(export_sha256, '')
		  FROM public.retired_months ORDER BY month, dropped_at`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Partition, error) {
		var (
			p    = Partition{State: Dropped, Exact: true}
			text string
			n    int64
		)
		if err := row.Scan(&text, &n, &p.DroppedAt, &p.Export, &p.ExportSHA256); err != nil {
			return p, err
		}
		var err error
		p.Month, err = month.Parse(text)
		p.Table, p.Rows = p.Month.Table(), &n
		return p, err
	})
}

// inState picks the months of a state: the ones asked for, or all.
func (s *Session) inState(ctx context.Context, state State, asked []month.Month) ([]month.Month, error) {
	tables, err := s.tables(ctx)
	if err != nil {
		return nil, err
	}
	there := map[month.Month]State{}
	var months []month.Month
	for _, p := range tables {
		there[p.Month] = p.State
		if p.State == state && len(asked) == 0 {
			months = append(months, p.Month)
		}
	}
	for _, m := range asked {
		switch there[m] {
		case state:
			months = append(months, m)
		case "":
			return nil, fmt.Errorf("there is no table of %s", m)
		default:
			return nil, fmt.Errorf("%s is %s, not %s", m, there[m], state)
		}
	}
	return months, nil
}
