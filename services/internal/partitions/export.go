package partitions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// Export writes detached months, those asked for or all, into a directory: a file and its manifest each. It returns
// their manifests when every file is on the disk and has been read back and compared with its table. A month that has
// such an export already is compared again, and not written.
func (s *Session) Export(ctx context.Context, dir string, months ...month.Month) ([]Manifest, error) {
	found, err := s.inState(ctx, Detached, months)
	if err != nil {
		return nil, fmt.Errorf("exporting: %w", err)
	}
	var done []Manifest
	for _, m := range found {
		var manifest *Manifest
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

// withShareLock does f in a transaction during which nobody can change a detached month. READ COMMITTED, and a lock that takes
// no transaction id: the transaction may last, and holds nobody up who follows the trail below pg_snapshot_xmin().
func (s *Session) withShareLock(ctx context.Context, m month.Month, f func(pgx.Tx) error) error {
	if err := s.takeWorkLock(ctx); err != nil {
		return err
	}
	if err := s.undo(ctx, m); err != nil {
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
		// The rows lie nearly in the order of their ids, so the index leads through them as fast as a sort would, which
		// would need as much disk again.
		if _, err := tx.Exec(ctx, "SET LOCAL enable_sort = off"); err != nil {
			return err
		}
		return f(tx)
	})
}

// export finds or makes the export that has what the table has.
func (s *Session) export(ctx context.Context, dir string, m month.Month) (*Manifest, error) {
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

// reuse returns the manifest of a file that has what the table has, and writes it where there is none yet, because a
// process was killed before it did. It returns nil for a file of anything else.
func (s *Session) reuse(ctx context.Context, p exportPath, m month.Month) (*Manifest, error) {
	start := time.Now()
	content, err := s.compare(ctx, p.file(), m)
	if errors.Is(err, errContent) {
		return nil, s.logMismatch(ctx, p, m, err)
	}
	if err != nil {
		return nil, err
	}
	manifest, err := p.readManifest()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.writeManifest(ctx, p, m, content)
	case err != nil:
		return nil, err
	case !manifest.Content.equal(content):
		return nil, fmt.Errorf("%s has what the table has, and %s says otherwise", p.file(), p.manifest())
	}
	s.log.InfoContext(ctx, "Export compared with the table", "month", m.String(), "file", p.file(), "rows", content.Rows, "seconds", time.Since(start).Seconds())
	return manifest, nil
}

// logMismatch tells about a file that has not what the table has. That is as it should be where it is the export of the
// month's former table, which retired_months then knows; else somebody should look at it.
func (s *Session) logMismatch(ctx context.Context, p exportPath, m month.Month, difference error) error {
	const known = "SELECT EXISTS (SELECT FROM public.retired_months WHERE month = $1 AND export = $2)"
	level := slog.LevelWarn
	var retired bool
	if err := s.conn.QueryRow(ctx, known, m.Start(), p.base+fileSuffix).Scan(&retired); err != nil {
		return err
	}
	if retired {
		level = slog.LevelInfo
	}
	s.log.Log(ctx, level, "A file of this month has other events, and stays as it is", "file", p.file(), "difference", difference, "retired_before", retired)
	return nil
}

// write makes a new export.
func (s *Session) write(ctx context.Context, p exportPath, m month.Month) (*Manifest, error) {
	start := time.Now()
	if err := removePartials(p.dir, m.Table()+"."); err != nil {
		return nil, err
	}
	draft, err := createPartial(p.file())
	if err != nil {
		return nil, err
	}
	defer os.Remove(draft.Name()) // gone when it has its name
	err = s.compress(ctx, draft, m)
	failpoint("file written")
	if err := errors.Join(err, finish(draft)); err != nil {
		return nil, err
	}
	failpoint("file synced")
	content, err := s.compare(ctx, draft.Name(), m)
	if err != nil {
		return nil, fmt.Errorf("reading it back: %w", err)
	}
	failpoint("file compared")
	if err := renameNew(draft.Name(), p.file()); err != nil {
		return nil, err
	}
	failpoint("file named")
	manifest, err := s.writeManifest(ctx, p, m, content)
	if err == nil {
		s.log.InfoContext(ctx, "Month exported", "month", m.String(), "file", p.file(), "rows", content.Rows, "bytes", content.Bytes,
			"sha256", content.SHA256, "seconds", time.Since(start).Seconds())
	}
	return manifest, err
}

func (s *Session) compress(ctx context.Context, file *os.File, m month.Month) error {
	z, err := zstd.NewWriter(file, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	err = s.lines(ctx, m, func(line []byte) error {
		if _, err := z.Write(line); err != nil {
			return err
		}
		_, err := z.Write([]byte{'\n'})
		return err
	})
	return errors.Join(err, z.Close())
}

// writeManifest writes the manifest of a file that has been compared.
func (s *Session) writeManifest(ctx context.Context, p exportPath, m month.Month, content Content) (*Manifest, error) {
	manifest := &Manifest{
		Format: Format, Month: m, Table: m.Table(), File: p.base + fileSuffix, Content: content,
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
	if manifest.Columns, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Column]); err != nil {
		return nil, err
	}
	if err := p.writeManifest(manifest); err != nil {
		return nil, err
	}
	failpoint("manifest named")
	return manifest, nil
}
