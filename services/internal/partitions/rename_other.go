//go:build !linux

package partitions

import "errors"

// renameNoReplace is Linux's.
func renameNoReplace(_, _ string) error { return errors.ErrUnsupported }
