package export

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// rename gives a synced file its name, durably.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// renameNew is rename for a name that nothing may have: fs.ErrExist if something has it after all,
// that of another database, say, whose exports go to the same directory.
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

// syncDir brings a directory's names to the disk. Some file systems of networks can't be asked to,
// and say so.
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
