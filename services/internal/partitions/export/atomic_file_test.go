package export

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestNothingIsWrittenOver, not even what another process has put there a moment ago.
func TestNothingIsWrittenOver(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for name, text := range map[string]string{from: "new", to: "old"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := renameNew(from, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v, want fs.ErrExist", err)
	}
	if text, err := os.ReadFile(to); err != nil || string(text) != "old" {
		t.Errorf("written over with %q, %v", text, err)
	}
	if err := renameNew(from, to+".2"); err != nil {
		t.Error(err)
	}
}
