package partitions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/dependents"
	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// Drop drops detached months, those asked for or all, each of which must have an export in the
// directory: its file is read again and compared with the table, in the transaction that drops it
// and writes its row of retired_months. Months with an event below the least age are refused. It
// returns those that it dropped.
func (s *Session) Drop(ctx context.Context, dir string, months ...month.Month) ([]month.Month, error) {
	return s.dropEach(ctx, months, func(tx pgx.Tx, m month.Month) (record, error) {
		manifest, err := s.manifestOf(ctx, dir, m)
		if err != nil {
			return record{}, err
		}
		return s.drop(ctx, tx, m, recordOf(manifest))
	})
}

// DropWithoutExport drops detached months, whose events are gone after it. retired_months says how
// many there were.
func (s *Session) DropWithoutExport(ctx context.Context, months ...month.Month) ([]month.Month, error) {
	if len(months) == 0 {
		return nil, errors.New("dropping: without an export, months must be named")
	}
	return s.dropEach(ctx, months, func(tx pgx.Tx, m month.Month) (record, error) {
		r, err := count(ctx, tx, m)
		if err != nil {
			return r, err
		}
		return s.drop(ctx, tx, m, r)
	})
}

func (s *Session) dropEach(ctx context.Context, asked []month.Month, drop func(pgx.Tx, month.Month) (record, error)) ([]month.Month, error) {
	var done []month.Month
	err := func() error {
		months, err := s.inState(ctx, Detached, asked)
		if err != nil {
			return err
		}
		now, err := s.now(ctx)
		if err != nil {
			return err
		}
		if err := s.requireAge(now, months...); err != nil {
			return err
		}
		for _, m := range months {
			// Before the export is compared, which takes long.
			if err := dependents.RequireDroppable(ctx, s.conn, m.Table()); err != nil {
				return fmt.Errorf("%s: %w", m, err)
			}
			var r record
			err := s.withShareLock(ctx, m, func(tx pgx.Tx) (err error) {
				r, err = drop(tx, m)
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", m, err)
			}
			s.logDropped(ctx, m, r)
			done = append(done, m)
		}
		return s.sync(ctx)
	}()
	if err != nil {
		err = fmt.Errorf("dropping: %w", err)
	}
	return done, err
}

// manifestOf returns the manifest of the export that has what the table has.
func (s *Session) manifestOf(ctx context.Context, dir string, m month.Month) (*export.Manifest, error) {
	there, _, err := s.exportsOf(ctx, dir, m)
	if err != nil {
		return nil, err
	}
	for _, p := range there {
		_, err := p.ReadManifest()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it doesn't count
		}
		if err != nil {
			return nil, err
		}
		if manifest, err := s.reuse(ctx, p, m); err != nil || manifest != nil {
			return manifest, err
		}
	}
	return nil, fmt.Errorf("no export in %s has what %s has: export it first", dir, m.Table())
}

// record is what retired_months keeps of a month. Strings are nil without an export.
type record struct {
	rows               int64
	first, last        *uuid.UUID
	file, sum, content *string
}

func recordOf(m *export.Manifest) record {
	return record{m.Rows, m.FirstEventID, m.LastEventID, &m.File, &m.SHA256, &m.ContentSHA256}
}

// drop drops a month within the transaction that has its share lock, and writes down what had been
// there. It returns what it was given.
func (s *Session) drop(ctx context.Context, tx pgx.Tx, m month.Month, r record) (record, error) {
	if err := s.locks.Exclusive(ctx, tx, m.Table()); err != nil {
		return r, err
	}
	if _, err := tx.Exec(ctx, `
		INSERT INTO public.retired_months (month, event_count, first_event_id, last_event_id, export, export_sha256, content_sha256)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, m.Start(), r.rows, r.first, r.last, r.file, r.sum, r.content); err != nil {
		return r, err
	}
	_, err := tx.Exec(ctx, "DROP TABLE "+pgident.Public(m.Table()))
	failpoint("dropping")
	return r, err
}

func (s *Session) logDropped(ctx context.Context, m month.Month, r record) {
	failpoint("dropped")
	file := "none"
	if r.file != nil {
		file = *r.file
	}
	s.log.InfoContext(ctx, "month dropped", "month", m.String(), "rows", r.rows, "export", file)
}

// count looks at what is to be dropped without an export.
func count(ctx context.Context, tx pgx.Tx, m month.Month) (r record, err error) {
	const question = `SELECT (SELECT count(*) FROM ONLY %[1]s), (SELECT event_id FROM ONLY %[1]s ORDER BY event_id LIMIT 1),
		(SELECT event_id FROM ONLY %[1]s ORDER BY event_id DESC LIMIT 1)`
	err = tx.QueryRow(ctx, fmt.Sprintf(question, pgident.Public(m.Table()))).Scan(&r.rows, &r.first, &r.last)
	return r, err
}
