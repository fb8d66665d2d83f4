package schema

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"strings"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/source"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/migrations"
	"github.com/trailpost/trailpost/services/internal/durable"
)

// DirtyError says that another tool died half-way through a migration of this database. Nothing
// here writes that flag.
type DirtyError struct {
	Version uint // the step that may have been done, in part or not at all
}

func (e *DirtyError) Error() string {
	return fmt.Sprintf("the schema is marked dirty at version %d, by another tool than this one: compare it with the "+
		"files of that version, then say what it is with `migrate force N`", e.Version)
}

// RolesError says which group roles the grants need and the cluster doesn't have.
type RolesError struct{ Missing []string }

func (e *RolesError) Error() string {
	return fmt.Sprintf("the cluster has no role %s: run `migrate roles` first", joinNames(e.Missing))
}

// Option changes how Up and Down work.
type Option func(*options)

type options struct {
	log   *slog.Logger
	fs    fs.FS
	reads bool // and changes nothing
}

// reading is for what a standby can answer as well.
func reading(o *options) { o.reads = true }

// WithLogger has each step logged.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// Up takes the database up to Newest and returns when it is there, whoever brought it there. A
// trail that was restored from a dump is adopted by this database. A database that a newer release
// has taken further is left as it is. A database without the group roles is a *RolesError, one with
// another tool's dirty flag a *DirtyError.
//
// When ctx ends, Up finishes the step that it has begun and stops before the next; every step
// stands alone.
func Up(ctx context.Context, cc *pgx.ConnConfig, opts ...Option) error {
	return run(ctx, cc, opts, func(m *migrate.Migrate, d *driver, o options) error {
		if err := durable.RequireUTF8(d.conn); err != nil {
			return err
		}
		if err := requireRoles(ctx, d.conn); err != nil {
			return err
		}
		if err := d.requireOwner(ctx); err != nil {
			return err
		}
		err := m.Up()
		var missing *fs.PathError
		switch {
		case err == nil || errors.Is(err, migrate.ErrNoChange):
			return adopt(ctx, d.conn, o.log)
		case errors.As(err, &missing) && errors.Is(err, os.ErrNotExist):
			v, _, verr := m.Version()
			if newest := newest(o.fs); verr == nil && v > newest {
				o.log.WarnContext(ctx, "the schema is newer than this binary; leaving it as it is", "version", v, "newest_known", newest)
				return nil
			}
		}
		return err
	})
}

// Down takes back the last n steps, newest first. It refuses n < 1, and more steps than the
// database has.
//
// The first two steps hold the tables: taking them back deletes the trail.
func Down(ctx context.Context, cc *pgx.ConnConfig, n int, opts ...Option) error {
	if n < 1 {
		return fmt.Errorf("down %d: the number of steps must be at least 1", n)
	}
	return run(ctx, cc, opts, func(m *migrate.Migrate, _ *driver, o options) error {
		v, _, err := m.Version()
		if err != nil && !errors.Is(err, migrate.ErrNilVersion) {
			return err
		}
		steps, err := stepsTo(o.fs, v)
		if err != nil {
			return err
		}
		if n > steps {
			return fmt.Errorf("down %d: the schema is at version %d, only %d steps can be taken back", n, v, steps)
		}
		return m.Steps(-n)
	})
}

// DownAll takes back every step. It deletes the trail.
func DownAll(ctx context.Context, cc *pgx.ConnConfig, opts ...Option) error {
	return run(ctx, cc, opts, func(m *migrate.Migrate, _ *driver, _ options) error {
		if err := m.Down(); !errors.Is(err, migrate.ErrNoChange) {
			return err
		}
		return nil
	})
}

// Version returns the database's version, 0 for one without the schema. A dirty one is returned
// with a *DirtyError.
func Version(ctx context.Context, cc *pgx.ConnConfig) (uint, error) {
	var version uint
	err := run(ctx, cc, []Option{reading}, func(m *migrate.Migrate, _ *driver, _ options) error {
		v, dirty, err := m.Version()
		version = v
		switch {
		case errors.Is(err, migrate.ErrNilVersion):
			return nil
		case err != nil:
			return err
		case dirty:
			return &DirtyError{Version: v}
		}
		return nil
	})
	return version, err
}

// Force records that the database is at version v, clean, and runs nothing. 0 means that it has no
// schema.
func Force(ctx context.Context, cc *pgx.ConnConfig, v int) error {
	return run(ctx, cc, nil, func(m *migrate.Migrate, _ *driver, o options) error {
		if v == 0 {
			return m.Force(-1)
		}
		if v < 0 {
			return fmt.Errorf("force %d: the version must be 0 to %d", v, newest(o.fs))
		}
		if _, err := stepsTo(o.fs, uint(v)); err != nil {
			return fmt.Errorf("force %d: %w", v, err)
		}
		return m.Force(v)
	})
}

// Newest is the version that Up leads to.
func Newest() uint { return newest(migrations.FS) }

func newest(files fs.FS) uint {
	var v uint
	walk(files, func(version uint) bool { v = version; return true })
	return v
}

// stepsTo counts the steps from an empty database to version v.
func stepsTo(files fs.FS, v uint) (int, error) {
	if v == 0 {
		return 0, nil
	}
	n, found := 0, false
	walk(files, func(version uint) bool { n++; found = version == v; return !found })
	if !found {
		return 0, fmt.Errorf("this binary knows no version %d, its newest is %d", v, newest(files))
	}
	return n, nil
}

// walk calls f with each version, oldest first, until f says false.
func walk(files fs.FS, f func(version uint) bool) {
	src := open(files)
	for v, err := src.First(); err == nil && f(v); v, err = src.Next(v) {
	}
}

// open reads the embedded files, which the build has already made sure of.
func open(files fs.FS) source.Driver {
	src, err := iofs.New(files, ".")
	if err != nil {
		panic(fmt.Sprintf("schema: the embedded migrations can't be read: %v", err))
	}
	return src
}

// run connects, does f, makes sure that it lasts, and disconnects, which gives the lock back.
func run(ctx context.Context, cc *pgx.ConnConfig, opts []Option, f func(*migrate.Migrate, *driver, options) error) error {
	o := options{log: slog.New(slog.DiscardHandler), fs: migrations.FS}
	for _, set := range opts {
		set(&o)
	}
	d, err := connect(ctx, cc, o)
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	defer d.Close()

	m, err := migrate.NewWithInstance("embedded", open(o.fs), "postgresql", d)
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	m.LockTimeout = time.Duration(math.MaxInt64) // the library's 15 s are shorter than a migration of a large table
	m.Log = stepLog{o.log}

	err = f(m, d, o)
	if err == nil && !o.reads {
		err = durable.Sync(ctx, d.conn) // what was there already may be one that a run before was not sure of
	}
	if dirty, ok := errors.AsType[migrate.ErrDirty](err); ok {
		return &DirtyError{Version: uint(dirty.Version)}
	}
	if err != nil {
		return fmt.Errorf("migrating: %w", err)
	}
	return nil
}

// stepLog passes on what golang-migrate says after each step, "3/u partitions (12ms)", without the
// time, which includes the earlier steps'. Its errors are returned as well; one of them, that the
// schema is newer, is not a failure here.
type stepLog struct{ log *slog.Logger }

func (l stepLog) Printf(format string, v ...any) {
	if strings.HasPrefix(format, "error: ") {
		l.log.Debug(fmt.Sprintf(format, v...))
		return
	}
	step, _, _ := strings.Cut(fmt.Sprintf(format, v...), " (")
	l.log.Info("schema migrated", "step", step)
}
func (stepLog) Verbose() bool { return false }
