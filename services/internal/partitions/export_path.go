package partitions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

const (
	fileSuffix     = ".ndjson.zst"
	manifestSuffix = ".manifest.json"
	partialSuffix  = ".partial"
)

// exportPath is the path of the n-th export of a month; n counts from 1. There is a second when events came after the month
// had been dropped, and had it made again, or when it had been attached again meanwhile.
type exportPath struct {
	dir  string
	base string
}

func exportPathOf(dir string, m month.Month, n int) exportPath {
	if n == 1 {
		return exportPath{dir, m.Table()}
	}
	return exportPath{dir, fmt.Sprintf("%s.%d", m.Table(), n)}
}

// numberOf is exportPathOf's n; false: the name is none of the month's.
func numberOf(base string, m month.Month) (n int, ok bool) {
	rest, ok := strings.CutPrefix(base, m.Table())
	if !ok || rest == "" {
		return 1, ok
	}
	n, err := strconv.Atoi(strings.TrimPrefix(rest, "."))
	return n, err == nil && n > 1 && exportPathOf("", m, n).base == base
}

func (p exportPath) file() string     { return filepath.Join(p.dir, p.base+fileSuffix) }
func (p exportPath) manifest() string { return filepath.Join(p.dir, p.base+manifestSuffix) }

// readManifest reads the manifest beside the file: fs.ErrNotExist when there is none.
func (p exportPath) readManifest() (*Manifest, error) {
	text, err := os.ReadFile(p.manifest())
	if err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("%s: %w", p.manifest(), err)
	}
	switch {
	case m.Format != Format:
		return nil, fmt.Errorf("%s: its format is %q, not %q", p.manifest(), m.Format, Format)
	case m.File != p.base+fileSuffix:
		return nil, fmt.Errorf("%s: it is about the file %q", p.manifest(), m.File)
	}
	return m, nil
}

// writeManifest writes the manifest beside the file, whole or not at all.
func (p exportPath) writeManifest(m *Manifest) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := removePartials(p.dir, p.base+manifestSuffix); err != nil {
		return err
	}
	draft, err := createPartial(p.manifest())
	if err != nil {
		return err
	}
	_, err = draft.Write(append(text, '\n'))
	if err = errors.Join(err, finish(draft)); err == nil {
		failpoint("manifest written")
		err = renameNew(draft.Name(), p.manifest())
	}
	if err != nil {
		_ = os.Remove(draft.Name())
	}
	return err
}

// exportPaths lists what a directory has by the name of an export, in the order of the names: those of some months, or all.
// Each has a file, or a manifest, or both.
func exportPaths(dir string, months []month.Month) ([]exportPath, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []exportPath
	for _, e := range entries {
		base, isManifest := strings.CutSuffix(e.Name(), manifestSuffix)
		base, isFile := strings.CutSuffix(base, fileSuffix)
		table, _, _ := strings.Cut(base, ".")
		m, named := month.OfTable(table)
		p := exportPath{dir, base}
		if (isManifest || isFile) && named && (len(months) == 0 || slices.Contains(months, m)) && !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found, nil
}

// month is the month that the files are named after.
func (p exportPath) month() month.Month {
	table, _, _ := strings.Cut(p.base, ".")
	m, _ := month.OfTable(table)
	return m
}

// exportsOf lists the exports of a month in a directory that have their file, first to last, and the path of the
// next: numbered behind all that are in the directory, and behind the last name that may have been used before, by a
// file that was moved elsewhere, where nothing may ever be written over it.
func (s *Session) exportsOf(ctx context.Context, dir string, m month.Month) (there []exportPath, next exportPath, err error) {
	last, err := s.lastUsed(ctx, m)
	if err != nil {
		return nil, next, err
	}
	found, err := exportPaths(dir, []month.Month{m})
	if err != nil {
		return nil, next, err
	}
	var numbers []int
	for _, p := range found {
		n, ok := numberOf(p.base, m)
		if !ok {
			continue // a copy that somebody made, say
		}
		last = max(last, n)
		hasFile, err := exists(p.file())
		if err != nil {
			return nil, next, err
		}
		if hasFile {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		there = append(there, exportPathOf(dir, m, n))
	}
	return there, exportPathOf(dir, m, last+1), nil
}

// lastUsed is the number of the last export that may have been made of a month's table while it was detached before. Each
// time ended in a row of retired_months or of attached_months. An export that was made before an attach, or before a drop
// without one, is recorded nowhere: so each time counts for a name, whether it was used or not.
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
	var export string
	_, err = pgx.ForEachRow(rows, []any{&export}, func() error {
		last++
		if n, ok := numberOf(strings.TrimSuffix(export, fileSuffix), m); ok {
			last = max(last, n)
		}
		return nil
	})
	return last, err
}

// exists reports whether there is a file.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
