package apikey

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/trailpost/trailpost/services/internal/retry"
)

// Interval is how often [File.Run] reads the file: a key that is taken out of it is refused this
// much later, or a little more.
const Interval = 2 * time.Second

// maxFile is the most bytes that a file may have: some ten thousand keys.
const maxFile = 1 << 20

// File is the keys in a file, which change while the process runs.
type File struct {
	path     string
	interval time.Duration
	log      *slog.Logger
	metrics  *Metrics

	keys atomic.Pointer[Keys] // the last that could be read

	// Used only by Run.
	text   []byte // what keys were read from
	reason retry.Reason
}

// Open reads the file, so that a bad one stops the start.
func Open(path string, log *slog.Logger, metrics *Metrics) (*File, error) {
	f := &File{path: path, interval: Interval, log: log, metrics: metrics}
	text, keys, err := f.read()
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	f.text = text
	f.take(keys)
	log.Info("API keys read", "file", path, "keys", keys.Len(), "names", keys.Names())
	return f, nil
}

// Name returns the name of a key, by the file as it was last read.
func (f *File) Name(key string) (name string, ok bool) { return f.keys.Load().Name(key) }

// Run reads the file again and again until ctx ends. It compares contents, and not times:
// Kubernetes swaps a symbolic link above the file, and a file may change twice within a clock's
// tick. While the file can't be read or is wrong, the keys from before hold: an operator's slip
// must not turn every client away.
func (f *File) Run(ctx context.Context) {
	tick := time.NewTicker(f.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.refresh()
		}
	}
}

// refresh reads once.
func (f *File) refresh() {
	text, keys, err := f.read()
	if err != nil {
		f.metrics.failing.Set(1)
		if f.reason.Changed(err) {
			f.log.Error("API keys can't be read; those from before hold", "file", f.path, "error", err)
		}
		return
	}
	changed, recovered := keys != nil, f.reason.Clear()
	f.metrics.failing.Set(0)
	if changed {
		before := f.keys.Load()
		f.text = text
		f.take(keys)
		f.log.Info("API keys have changed", "file", f.path, "keys", keys.Len(),
			"names", keys.Names(), "added", keys.without(before), "revoked", before.without(keys))
	} else if recovered {
		f.log.Info("API keys can be read again, and are the same", "file", f.path)
	}
}

// take replaces the keys.
func (f *File) take(keys *Keys) {
	f.keys.Store(keys)
	f.metrics.keys.Set(float64(keys.Len()))
}

// read returns the file's text and keys; no keys if the text is the one that was read last.
func (f *File) read() (text []byte, keys *Keys, err error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, nil, fmt.Errorf("can't be read: %s", reason(err))
	}
	defer file.Close()
	text, err = io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("can't be read: %s", reason(err))
	case len(text) > maxFile:
		return nil, nil, fmt.Errorf("has more than %d bytes", maxFile)
	case f.text != nil && bytes.Equal(text, f.text):
		return text, nil, nil
	}
	keys, err = Parse(text)
	return text, keys, err
}

// reason returns the text of an error of package os without the path, which the caller names.
func reason(err error) string {
	if pathError, ok := errors.AsType[*fs.PathError](err); ok {
		return pathError.Err.Error()
	}
	return err.Error()
}

// without lists the names that have a key here which other lacks.
func (k *Keys) without(other *Keys) []string {
	var names []string
	for sum, e := range k.entries {
		if _, there := other.entries[sum]; !there {
			names = append(names, e.name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
