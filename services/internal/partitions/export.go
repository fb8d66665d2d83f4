package partitions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// Export writes detached months, those asked for or all, into a directory: a file and its manifest
// each. It returns their manifests when every file is on the disk and has been read back and
// compared with its table. A month that has such an export already is compared again, and not
// written.
func (s *Session) Export(ctx context.Context, dir string, months ...month.Month) ([]export.Manifest, error) {
	found, err := s.inState(ctx, Detached, months)
	if err != nil {
		return nil, fmt.Errorf("exporting: %w", err)
	}
	var done []export.Manifest
	for _, m := range found {
		var manifest *export.Manifest
		err := s.withShareLock(ctx, m, func(pgx.Tx) (err error) {
			manifest, err = s.export(ctx, dir, m)
			return err
		})
		if err != nil {
			return done, fmt.Errorf("exporting %s: %w", m, err)
		}
		done = append(done, *manifest)
	}
	return done, nil
}

// withShareLock does f in a transaction during which nobody can change a detached month. READ
// COMMITTED, and a lock that takes no transaction id: the transaction may last, and doesn't hold up
// followers, which read the trail below pg_snapshot_xmin().
func (s *Session) withShareLock(ctx context.Context, m month.Month, f func(pgx.Tx) error) error {
	if err := s.takeWorkLock(ctx); err != nil {
		return err
	}
	if err := s.attacher().Undo(ctx, m); err != nil {
		return err
	}
	return durable.Tx(ctx, s.conn, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "LOCK TABLE ONLY "+pgident.Public(m.Table())+" IN SHARE MODE"); err != nil {
			return err
		}
		var attached bool
		if err := tx.QueryRow(ctx, "SELECT relispartition FROM pg_class WHERE oid = $1::text::regclass", pgident.Public(m.Table())).Scan(&attached); err != nil {
			return err
		}
		if attached {
			return fmt.Errorf("%s is a partition", m.Table())
		}
		// The rows lie nearly in the order of their ids, so the index leads through them as fast as
		// a sort would, which would need as much disk again.
		if _, err := tx.Exec(ctx, "SET LOCAL enable_sort = off"); err != nil {
			return err
		}
		return f(tx)
	})
}

// export finds or makes the export that has what the table has.
func (s *Session) export(ctx context.Context, dir string, m month.Month) (*export.Manifest, error) {
	there, next, err := s.exportsOf(ctx, dir, m)
	if err != nil {
		return nil, err
	}
	for _, p := range there {
		// One of another time is passed over: never written over.
		if manifest, err := s.reuse(ctx, p, m); err != nil || manifest != nil {
			return manifest, err
		}
	}
	return s.write(ctx, next, m)
}

// exportsOf lists a month's exports in a directory that have their file, and returns the path of
// the next.
func (s *Session) exportsOf(ctx context.Context, dir string, m month.Month) (there []export.Path, next export.Path, err error) {
	last, err := s.lastUsed(ctx, m)
	if err != nil {
		return nil, next, err
	}
	return export.Find(dir, m, last)
}

// reuse returns the manifest of a file that has what the table has, and writes it where there is
// none yet, because a process was killed before it did. It returns nil for a file of anything else.
func (s *Session) reuse(ctx context.Context, p export.Path, m month.Month) (*export.Manifest, error) {
	start := time.Now()
	content, err := s.compare(ctx, p.File(), m)
	if errors.Is(err, export.ErrContent) {
		return nil, s.logMismatch(ctx, p, m, err)
	}
	if err != nil {
		return nil, err
	}
	manifest, err := p.ReadManifest()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.writeManifest(ctx, p, m, content)
	case err != nil:
		return nil, err
	case !manifest.Content.Equal(content):
		return nil, fmt.Errorf("%s has what the table has, and %s says otherwise", p.File(), p.Manifest())
	}
	s.log.InfoContext(ctx, "export compared with the table", "month", m.String(), "file", p.File(), "rows", content.Rows, "seconds", time.Since(start).Seconds())
	return manifest, nil
}

// logMismatch logs that a file does not have what the table has. That is as it should be where it
// is the export of the month's former table, which retired_months then knows; else somebody should
// look at it.
func (s *Session) logMismatch(ctx context.Context, p export.Path, m month.Month, difference error) error {
	const known = "SELECT EXISTS (SELECT FROM public.retired_months WHERE month = $1 AND export = $2)"
	level := slog.LevelWarn
	var retired bool
	if err := s.conn.QueryRow(ctx, known, m.Start(), p.FileName()).Scan(&retired); err != nil {
		return err
	}
	if retired {
		level = slog.LevelInfo
	}
	s.log.Log(ctx, level, "a file of this month has other events, and stays as it is", "file", p.File(), "difference", difference, "retired_before", retired)
	return nil
}

// write makes a new export.
func (s *Session) write(ctx context.Context, p export.Path, m month.Month) (*export.Manifest, error) {
	start := time.Now()
	file, err := export.NewWriter(p)
	if err != nil {
		return nil, err
	}
	defer file.Discard()
	err = errors.Join(s.lines(ctx, m, file.WriteLine), file.Flush())
	failpoint("file written")
	if err := errors.Join(err, file.Sync()); err != nil {
		return nil, err
	}
	failpoint("file synced")
	content, err := s.compare(ctx, file.Name(), m)
	if err != nil {
		return nil, fmt.Errorf("reading it back: %w", err)
	}
	failpoint("file compared")
	if err := file.Publish(); err != nil {
		return nil, err
	}
	failpoint("file named")
	manifest, err := s.writeManifest(ctx, p, m, content)
	if err == nil {
		s.log.InfoContext(ctx, "month exported", "month", m.String(), "file", p.File(), "rows", content.Rows, "bytes", content.Bytes,
			"sha256", content.SHA256, "seconds", time.Since(start).Seconds())
	}
	return manifest, err
}

// compare compares a file with a month's table.
func (s *Session) compare(ctx context.Context, path string, m month.Month) (export.Content, error) {
	return export.Compare(path, m, func(check func(sum []byte, restores bool) error) error { return s.digests(ctx, m, check) })
}

// writeManifest writes the manifest of a file that has been compared.
func (s *Session) writeManifest(ctx context.Context, p export.Path, m month.Month, content export.Content) (*export.Manifest, error) {
	manifest := &export.Manifest{
		Format: export.Format, Month: m, Table: m.Table(), File: p.FileName(), Content: content,
		ExportedAt: time.Now().UTC().Truncate(time.Second),
	}
	err := s.conn.QueryRow(ctx, `
		SELECT current_database(), current_setting('server_version'), (SELECT system_identifier::text FROM pg_control_system()),
		       coalesce((SELECT system_identifier::text FROM public.trail_origin), ''), (SELECT version FROM public.schema_migrations)`).
		Scan(&manifest.Database, &manifest.ServerVersion, &manifest.SystemIdentifier, &manifest.TxSystemIdentifier, &manifest.SchemaVersion)
	if err != nil {
		return nil, err
	}
	rows, err := s.conn.Query(ctx, `SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
		WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, pgident.Public(m.Table()))
	if err != nil {
		return nil, err
	}
	if manifest.Columns, err = pgx.CollectRows(rows, pgx.RowToStructByPos[export.Column]); err != nil {
		return nil, err
	}
	draft, err := p.DraftManifest(manifest)
	if err != nil {
		return nil, err
	}
	defer draft.Discard()
	failpoint("manifest written")
	if err := draft.Publish(); err != nil {
		return nil, err
	}
	failpoint("manifest named")
	return manifest, nil
}
