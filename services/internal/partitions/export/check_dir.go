package export

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// CheckDir tries whether exports can be kept in a directory: it writes a file, brings it to the
// disk, renames and removes it.
func CheckDir(dir string) error {
	path := filepath.Join(dir, ".writable")
	draft, err := createDraft(path)
	if err != nil {
		return fmt.Errorf("trying %s: %w", dir, err)
	}
	_, err = draft.file.WriteString("migrate partitions check-dir\n")
	err = errors.Join(err, draft.Sync())
	if err == nil {
		err = rename(draft.Name(), path)
	}
	if err != nil {
		draft.Discard()
		return fmt.Errorf("trying %s: %w", dir, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("trying %s: %w", dir, err)
	}
	return nil
}
