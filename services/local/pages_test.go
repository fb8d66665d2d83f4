package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// block is a piece of a page's code.
type block struct{ page, code string }

// toRun are a page's commands with "run" above them. (Package test/docs holds that all others say
// who runs them.)
var toRun = regexp.MustCompile("(?s)<!-- run -->\n```bash\n(.*?)```\n")

func blocks(t *testing.T, page string) (all []block) {
	t.Helper()
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range toRun.FindAllSubmatch(text, -1) {
		all = append(all, block{page, string(m[1])})
	}
	if len(all) == 0 {
		t.Fatalf("%s shows nothing to run", page)
	}
	return all
}

// Everything that the pages show works, in this order, against what `make run` starts, and so do
// the clients.
func TestPages(t *testing.T) {
	home, err := os.MkdirTemp("", "trailpost-local-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeHome(t, home) })
	local := start(t, home)
	local.awaitBanner(t)
	env := filepath.Join(home, "env")
	producer := strings.TrimSpace(shell(t, ". "+env+"; printf %s \"$PRODUCER_URL\""))

	// Where the reader would be: in a checkout with its binaries.
	checkout := t.TempDir()
	if err := os.Symlink(home, filepath.Join(checkout, ".trailpost")); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(checkout, "bin")+"/", "../consumer")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	for _, page := range []string{"README.md", "docs/clients.md", "docs/querying.md", "docs/migrating-from-python.md", "docs/dead-letters.md"} {
		for _, b := range blocks(t, page) {
			out, err := runBlock(t, strings.ReplaceAll(b.code, "http://localhost:8001", producer), checkout)
			if err != nil || strings.Contains(out, "HTTP/1.1 5") || strings.Contains(out, "HTTP/1.1 4") {
				t.Errorf("%s: %v\n%s\n%s", b.page, err, b.code, out)
			}
		}
	}
	waitFor(t, "the events that the pages send are rows", func() bool {
		return strings.TrimSpace(shell(t, ". "+env+"; psql -Atc 'SELECT count(*) FROM log_events'")) == "3"
	})
	checkClients(t, producer, func(id string) string {
		return strings.TrimSpace(shell(t, ". "+env+"; psql -Atc \"SELECT count(*) FROM log_events WHERE event_id = '"+id+"'\""))
	})
	local.signal(t, os.Interrupt)
	if err := local.wait(t); err != nil {
		t.Errorf("the end by Ctrl-C: %v\n%s", err, local.log())
	}
}

func runBlock(t *testing.T, code, dir string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", code)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
