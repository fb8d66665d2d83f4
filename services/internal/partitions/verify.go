package partitions

import (
	"errors"
	"fmt"
	"io"
)

// Verified is an export that was read.
type Verified struct {
	Manifest string // its path
	Month    Month
	Rows     int64
	// Fault is what is wrong with it; nil: it is what its manifest says.
	Fault error
}

// Verify reads every export in a directory, or those of some months, and holds each against its manifest: the hash of
// the file, the number of lines, their hashes, their order, their month. It needs no database. show is called for
// each; an error of show ends it. Months without an export are an error.
func Verify(dir string, months []Month, show func(Verified) error) error {
	places, err := manifests(dir, months)
	if err != nil {
		return fmt.Errorf("verifying: %w", err)
	}
	seen := map[Month]bool{}
	for _, p := range places {
		v := verify(p)
		seen[v.Month] = true
		if err := show(v); err != nil {
			return err
		}
	}
	var missing []Month
	for _, m := range months {
		if !seen[m] {
			missing = append(missing, m)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("verifying: %s has no export of %s", dir, list(missing))
	}
	return nil
}

func verify(p place) Verified {
	v := Verified{Manifest: p.manifest()}
	manifest, err := p.readManifest()
	if err != nil {
		v.Fault = err
		return v
	}
	v.Month, v.Rows = manifest.Month, manifest.Rows
	content, err := read(p.file(), manifest.Month)
	if err == nil && !content.equal(manifest.Content) {
		err = fmt.Errorf("%s: %w: %s", p.file(), errContent, difference(manifest.Content, content))
	}
	v.Fault = err
	return v
}

// read reads a whole file.
func read(path string, m Month) (Content, error) {
	r, err := openExport(path, m)
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
