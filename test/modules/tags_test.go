package modules

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/test/golden"
)

// tags are those of the Makefile.
func tags(t *testing.T) string {
	t.Helper()
	match := regexp.MustCompile(`(?m)^TAGS := (\S+)$`).FindStringSubmatch(read(t, "Makefile"))
	if match == nil {
		t.Fatal("the Makefile has no TAGS")
	}
	return match[1]
}

// What is compiled with other tags is compiled again.
func TestEveryCommandHasTheSameTags(t *testing.T) {
	want := tags(t)
	for file, tagged := range map[string]string{
		".golangci.yml":       "build-tags: [e2e, " + want + "]",
		"hack/e2e":            "go test -tags e2e," + want + " ",
		"Dockerfile.producer": " -tags " + want + " ",
		"Dockerfile.consumer": " -tags " + want + " ",
	} {
		if !strings.Contains(read(t, file), tagged) {
			t.Errorf("%s has no %q", file, tagged)
		}
	}
}

// gin's MessagePack is 6 MB of a binary, and a parser of what no client of ours sends.
func TestTheProductHasNoMessagePack(t *testing.T) {
	list := command(t, "go", "list", "-deps", "-tags", tags(t), "./services/...")
	if !strings.Contains(list, "github.com/gin-gonic/gin\n") {
		t.Fatal("the list has no gin")
	}
	for line := range strings.Lines(list) {
		if strings.HasPrefix(line, "github.com/ugorji/") {
			t.Errorf("the product imports %s", line)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(golden.Root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// command runs in the root of the repository, and returns what the command prints.
func command(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, arguments...)
	cmd.Dir = golden.Root(t)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(arguments, " "), err)
	}
	return string(out)
}
