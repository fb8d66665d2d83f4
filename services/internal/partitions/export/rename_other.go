//go:build !linux

package export

import "errors"

// renameNoReplace is Linux's.
func renameNoReplace(_, _ string) error { return errors.ErrUnsupported }
