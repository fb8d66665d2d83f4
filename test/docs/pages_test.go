package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/test/golden"
)

// page is a file of Markdown.
type page struct {
	path  string // from the repository's root
	lines []string
}

// pages are all files of Markdown below the folders, or those folders themselves.
func pages(t *testing.T, below ...string) (all []page) {
	t.Helper()
	for _, path := range files(t, "*.md", "*.md.gotmpl") {
		for _, folder := range below {
			if path != folder && folder != "." && !strings.HasPrefix(path, folder+"/") {
				continue
			}
			all = append(all, page{path, strings.Split(read(t, path), "\n")})
			break
		}
	}
	return all
}

// files are those of the repository, the new ones included, by git's patterns.
func files(t *testing.T, patterns ...string) []string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "git", append([]string{"ls-files", "--cached", "--others", "--exclude-standard", "--"}, patterns...)...)
	list.Dir = golden.Root(t)
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for path := range strings.FieldsSeq(string(out)) {
		if _, err := os.Stat(filepath.Join(list.Dir, path)); err == nil { // it may be deleted and not yet committed
			all = append(all, path)
		}
	}
	if len(all) == 0 {
		t.Fatalf("no files %q", patterns)
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(golden.Root(t), path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// README is the front door: one page. What else there is to say has a page in docs/.
func TestReadmeIsOnePage(t *testing.T) {
	text := read(t, "README.md")
	if lines := strings.Count(text, "\n"); lines > 150 {
		t.Errorf("README.md has %d lines, and may have 150", lines)
	}
	if len(text) > 9*1024 {
		t.Errorf("README.md has %d bytes, and may have %d", len(text), 9*1024)
	}
}
