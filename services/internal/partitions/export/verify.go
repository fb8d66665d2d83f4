package export

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

// Verified is an export that was read, or looked for.
type Verified struct {
	Manifest string // its path
	Month    month.Month
	Rows     int64
	// Fault is what is wrong with it; nil: it is what its manifest says.
	Fault error
}

// Retirement is a row of retired_months about a month that has an export.
type Retirement struct {
	Month         month.Month
	DroppedAt     time.Time
	Rows          int64
	Export        string
	SHA256        string
	ContentSHA256 string
}

// Verify reads every export in a directory, or those of some months, and holds each against its
// manifest: the hash of the file, the number of lines, their hashes, their order, their month. A
// manifest without its file is a fault, and so is a file without its manifest. It needs no
// database; retired, if there is any, is what the database says of the exports, each of which must
// then be there and be the same. show is called for each; an error of show ends it. A directory
// that has no export of these months, or none at all, is an error: whoever looks into the wrong one
// must not read that all is well.
func Verify(dir string, months []month.Month, retired []Retirement, show func(Verified) error) error {
	found, err := list(dir, months)
	if err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	if len(found) == 0 && len(months) == 0 && len(retired) == 0 {
		return fmt.Errorf("verifying: %s has no exports", dir)
	}
	seen := map[month.Month]bool{}
	for _, p := range found {
		v := verify(p)
		seen[v.Month] = true
		if err := show(v); err != nil {
			return err
		}
	}
	for _, r := range retired {
		if len(months) > 0 && !slices.Contains(months, r.Month) {
			continue
		}
		seen[r.Month] = true
		p := Path{dir, strings.TrimSuffix(r.Export, fileSuffix)}
		if fault := p.differsFrom(r); fault != nil {
			if err := show(Verified{Manifest: p.Manifest(), Month: r.Month, Rows: r.Rows, Fault: fault}); err != nil {
				return err
			}
		}
	}
	var missing []month.Month
	for _, m := range months {
		if !seen[m] {
			missing = append(missing, m)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("verifying: %s has no export of %s", dir, month.Join(missing))
	}
	return nil
}

func verify(p Path) Verified {
	v := Verified{Manifest: p.Manifest(), Month: p.Month()}
	manifest, err := p.ReadManifest()
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("it is not there, and without it %s does not count as an export", p.File())
	}
	if err != nil {
		v.Fault = err
		return v
	}
	v.Month, v.Rows = manifest.Month, manifest.Rows
	content, err := read(p.File(), manifest.Month)
	if err == nil && !content.Equal(manifest.Content) {
		err = fmt.Errorf("%s: %w: %s", p.File(), ErrContent, difference(manifest.Content, content))
	}
	v.Fault = err
	return v
}

// differsFrom says how an export that was verified differs from what the database keeps of it.
func (p Path) differsFrom(r Retirement) error {
	what := fmt.Sprintf("retired_months says that %s, dropped at %s, is in %s", r.Month, r.DroppedAt.UTC().Format(time.RFC3339), r.Export)
	hasFile, err := exists(p.File())
	if err != nil {
		return err
	}
	manifest, err := p.ReadManifest()
	switch {
	case !hasFile && errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s, which is not in %s", what, p.dir)
	case err != nil || !hasFile:
		return nil // told already
	case manifest.SHA256 != r.SHA256 || manifest.ContentSHA256 != r.ContentSHA256 || manifest.Rows != r.Rows:
		return fmt.Errorf("%s with %d rows and the SHA-256 %s, and its manifest has %d rows and %s",
			what, r.Rows, r.SHA256, manifest.Rows, manifest.SHA256)
	}
	return nil
}

// read reads a whole file.
func read(path string, m month.Month) (Content, error) {
	r, err := openReader(path, m)
	if err != nil {
		return Content{}, err
	}
	defer r.close()
	for {
		if _, err := r.next(); errors.Is(err, io.EOF) {
			return r.end()
		} else if err != nil {
			return Content{}, fmt.Errorf("%s: %w", path, err)
		}
	}
}

// difference says the first thing that differs.
func difference(want, got Content) string {
	switch {
	case want.Bytes != got.Bytes:
		return fmt.Sprintf("%d bytes, not %d", got.Bytes, want.Bytes)
	case want.SHA256 != got.SHA256:
		return fmt.Sprintf("its SHA-256 is %s, not %s", got.SHA256, want.SHA256)
	case want.Rows != got.Rows:
		return fmt.Sprintf("%d rows, not %d", got.Rows, want.Rows)
	case want.ContentSHA256 != got.ContentSHA256:
		return fmt.Sprintf("its content's SHA-256 is %s, not %s", got.ContentSHA256, want.ContentSHA256)
	}
	return "another first or last event or transaction"
}
