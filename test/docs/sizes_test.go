package docs

import (
	"path/filepath"
	"strings"
	"testing"
)

// How large a package and a file of the product may be. More is a reason to look for the wall that
// is missing.
const (
	maxFiles = 14
	maxLines = 300
)

// Packages and files can be read at one sitting.
func TestSizes(t *testing.T) {
	packages := map[string]int{}
	for _, path := range append(files(t, "services/*.go"), files(t, "hack/*.go")...) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		packages[filepath.Dir(path)]++
		if n := strings.Count(read(t, path), "\n"); n > maxLines {
			t.Errorf("%s has %d lines, more than %d", path, n, maxLines)
		}
	}
	if len(packages) < 50 {
		t.Fatalf("%d packages: these are not all", len(packages))
	}
	for dir, n := range packages {
		if n > maxFiles {
			t.Errorf("%s has %d files without its tests, more than %d", dir, n, maxFiles)
		}
	}
}
