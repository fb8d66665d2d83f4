package partitions

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// createPartial makes a new file beside path, for its owner alone, that is to become path.
func createPartial(path string) (*os.File, error) {
	return os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+partialSuffix)
}

// removePartials removes what processes that were killed left in a directory of files whose names begin so.
func removePartials(dir, prefix string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) && strings.HasSuffix(e.Name(), partialSuffix) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}

// finish brings a file's content to the disk, and closes it.
func finish(file *os.File) error {
	err := file.Sync()
	if err == nil {
		dropPageCache(file)
	}
	return errors.Join(err, file.Close())
}

// rename gives a finished file its name, for good.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// renameNew is rename for a name that nothing may have: fs.ErrExist if something has it after all, that of another
// database, say, whose exports go to the same directory.
func renameNew(from, to string) error {
	err := renameNoReplace(from, to)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		// This file system, or kernel, can't do it at once.
		taken, lookErr := exists(to)
		switch {
		case lookErr != nil:
			return lookErr
		case taken:
			err = &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EEXIST}
		default:
			err = os.Rename(from, to)
		}
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// syncDir brings a directory's names to the disk. Some file systems of networks can't be asked to, and say so.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// CheckDir tries whether exports can be kept in a directory: it writes a file, brings it to the disk, renames and
// removes it.
func CheckDir(dir string) error {
	path := filepath.Join(dir, ".writable")
	file, err := createPartial(path)
	if err != nil {
		return fmt.Errorf("trying %s: %w", dir, err)
	}
	_, err = file.WriteString("migrate partitions check-dir\n")
	err = errors.Join(err, finish(file))
	if err == nil {
		err = rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("trying %s: %w", dir, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("trying %s: %w", dir, err)
	}
	return nil
}
