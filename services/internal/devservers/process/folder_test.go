package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// As root, a folder that the servers' users can't enter has a stand-in that they can.
func TestReachableDir(t *testing.T) {
	nobody, err := LookupAccount("nobody")
	if err != nil {
		t.Fatal(err)
	}
	outer, err := os.MkdirTemp("", "trailpost-test-") // closed to others
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(outer)
	dir := filepath.Join(outer, "servers")
	got, err := ReachableDir(dir, nobody)
	if err != nil {
		t.Fatal(err)
	}
	if nobody == nil { // we are not root: our folder is for ourselves
		if got != dir {
			t.Errorf("%s became %s", dir, got)
		}
		return
	}
	defer os.RemoveAll(got)
	if !strings.HasPrefix(got, fallbackRoot) || !nobody.reaches(got) {
		t.Errorf("%s became %s", dir, got)
	}
	if again, err := ReachableDir(dir, nobody); err != nil || again != got {
		t.Errorf("another time: %s, %v", again, err)
	}
	if err := os.Chmod(outer, 0o711); err != nil {
		t.Fatal(err)
	}
	if open, err := ReachableDir(dir, nobody); err != nil || open != dir {
		t.Errorf("an open folder became %s, %v", open, err)
	}
	apostrophe := filepath.Join(outer, "o'brien", "servers")
	if err := os.Mkdir(filepath.Dir(apostrophe), 0o711); err != nil {
		t.Fatal(err)
	}
	moved, err := ReachableDir(apostrophe, nobody)
	if err != nil || !strings.HasPrefix(moved, fallbackRoot) {
		t.Errorf("%s became %s, %v", apostrophe, moved, err)
	}
	if moved != apostrophe {
		defer os.RemoveAll(moved)
	}
}
