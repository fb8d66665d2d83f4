package export

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

const (
	fileSuffix     = ".ndjson.zst"
	manifestSuffix = ".manifest.json"
)

// Path is the path of the n-th export of a month; n counts from 1. There is a second when events
// came after the month had been dropped, and had it made again, or when it had been attached again
// meanwhile.
type Path struct {
	dir  string
	base string
}

// PathOf returns the path of an export.
func PathOf(dir string, m month.Month, n int) Path {
	if n == 1 {
		return Path{dir, m.Table()}
	}
	return Path{dir, fmt.Sprintf("%s.%d", m.Table(), n)}
}

// numberOf returns the n of PathOf; false: the name does not belong to the month.
func numberOf(base string, m month.Month) (n int, ok bool) {
	rest, ok := strings.CutPrefix(base, m.Table())
	if !ok || rest == "" {
		return 1, ok
	}
	n, err := strconv.Atoi(strings.TrimPrefix(rest, "."))
	return n, err == nil && n > 1 && PathOf("", m, n).base == base
}

// Number returns the n of PathOf from the name of an export's file; false: the file is not the
// month's.
func Number(file string, m month.Month) (n int, ok bool) {
	return numberOf(strings.TrimSuffix(file, fileSuffix), m)
}

// FileName is the name of the file, without its directory.
func (p Path) FileName() string { return p.base + fileSuffix }

// File is the path of the file.
func (p Path) File() string { return filepath.Join(p.dir, p.FileName()) }

// Manifest is the path of the manifest.
func (p Path) Manifest() string { return filepath.Join(p.dir, p.base+manifestSuffix) }

// list lists what a directory has by the name of an export, in the order of the names: those of
// some months, or all. Each has a file, or a manifest, or both.
func list(dir string, months []month.Month) ([]Path, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []Path
	for _, e := range entries {
		base, isManifest := strings.CutSuffix(e.Name(), manifestSuffix)
		base, isFile := strings.CutSuffix(base, fileSuffix)
		table, _, _ := strings.Cut(base, ".")
		m, named := month.OfTable(table)
		p := Path{dir, base}
		if (isManifest || isFile) && named && (len(months) == 0 || slices.Contains(months, m)) && !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found, nil
}

// Month is the month that the files are named after.
func (p Path) Month() month.Month {
	table, _, _ := strings.Cut(p.base, ".")
	m, _ := month.OfTable(table)
	return m
}

// Find lists the exports of a month in a directory that have their file, first to last, and returns
// the path of the next: numbered behind all that are in the directory, and behind lastUsed, the
// last number that may have been used before by a file that was moved elsewhere, where nothing may
// ever be written over it.
func Find(dir string, m month.Month, lastUsed int) (there []Path, next Path, err error) {
	found, err := list(dir, []month.Month{m})
	if err != nil {
		return nil, next, err
	}
	last := lastUsed
	var numbers []int
	for _, p := range found {
		n, ok := numberOf(p.base, m)
		if !ok {
			continue // a copy that somebody made, say
		}
		last = max(last, n)
		hasFile, err := exists(p.File())
		if err != nil {
			return nil, next, err
		}
		if hasFile {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		there = append(there, PathOf(dir, m, n))
	}
	return there, PathOf(dir, m, last+1), nil
}

// exists reports whether there is a file.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
