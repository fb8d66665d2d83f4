package export

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

const partialSuffix = ".partial"

// Draft is a file in the making: it has a temporary name, beside the one that it is to have.
type Draft struct {
	file *os.File
	path string // that it is to have
}

// createDraft makes a new file beside path, for its owner alone, that is to become path.
func createDraft(path string) (*Draft, error) {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+partialSuffix)
	if err != nil {
		return nil, err
	}
	return &Draft{file: file, path: path}, nil
}

// removeDrafts removes the drafts that killed processes left in a directory: those whose names
// begin with prefix.
func removeDrafts(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), partialSuffix) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// Name is the temporary path.
func (d *Draft) Name() string { return d.file.Name() }

// Sync brings the content to the disk, and closes the file.
func (d *Draft) Sync() error {
	err := d.file.Sync()
	if err == nil {
		dropPageCache(d.file)
	}
	return errors.Join(err, d.file.Close())
}

// Publish gives a synced draft its name, durably. It is fs.ErrExist if something has the name.
func (d *Draft) Publish() error { return renameNew(d.Name(), d.path) }

// Discard removes a draft that was not published.
func (d *Draft) Discard() { _ = os.Remove(d.Name()) }
