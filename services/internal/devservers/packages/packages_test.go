package packages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Data of one version must not be opened by another.
func TestPostgresOfTheDataIsFound(t *testing.T) {
	defer func(p []string) { PostgresDirs = p }(PostgresDirs)
	dir := t.TempDir()
	PostgresDirs = []string{filepath.Join(dir, "*")}
	for _, version := range []string{"9.6.24", "15.18 (Debian 15.18-0)", "19beta1"} {
		major, _, _ := strings.Cut(strings.Fields(version)[0], ".")
		bin := filepath.Join(dir, "pg-"+strings.TrimSuffix(major, "beta1"))
		if err := os.Mkdir(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"postgres", "initdb"} {
			script := "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n"
			if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	for major, want := range map[string]string{"": "pg-19", "15": "pg-15", "9": "pg-9"} {
		if got, err := PostgresBin(major); err != nil || filepath.Base(got) != want {
			t.Errorf("version %q: %s, %v; want %s", major, got, err, want)
		}
	}
	if got, err := PostgresBin("16"); err == nil {
		t.Errorf("version 16 is not there: %s", got)
	}
}
