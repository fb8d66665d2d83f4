package modules

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/test/golden"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(golden.Root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// command runs in the root of the repository, and returns what the command prints. It is run as by
// hand, not as below the make that runs these tests.
func command(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, arguments...)
	cmd.Dir = golden.Root(t)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool {
		variable, _, _ := strings.Cut(pair, "=")
		return slices.Contains([]string{"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PKG", "TESTFLAGS", "GOFLAGS", "GOWORK"}, variable)
	})
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(arguments, " "), err)
	}
	return string(out)
}

// tracked lists the files of the repository that match a pattern of git, new ones included.
func tracked(t *testing.T, pattern string) []string {
	t.Helper()
	return strings.Fields(command(t, "git", "ls-files", "--cached", "--others", "--exclude-standard", "--", pattern))
}
