package modules

import (
	"regexp"
	"strings"
	"testing"
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
