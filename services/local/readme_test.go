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

// block is a piece of README's code.
type block struct {
	language, code string
	line           int
	run            bool   // by TestReadme
	elsewhere      string // who runs it, if TestReadme doesn't
}

var (
	fence  = regexp.MustCompile("^```([a-z]*)$")
	remark = regexp.MustCompile(`^<!-- run( by: (.+))? -->$`)
)

// readmeBlocks finds them. Each in a language must say in the line above who runs it.
func readmeBlocks(t *testing.T) (blocks []block) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var open *block
	var said []string
	for i, line := range strings.Split(string(text), "\n") {
		if m := fence.FindStringSubmatch(line); m != nil {
			if open != nil {
				blocks = append(blocks, *open)
				open = nil
				continue
			}
			open = &block{language: m[1], line: i + 1}
			if said != nil {
				open.run, open.elsewhere = said[1] == "", said[2]
			}
			continue
		}
		if open != nil {
			open.code += line + "\n"
			continue
		}
		said = remark.FindStringSubmatch(line)
	}
	return blocks
}

// Everything that README shows works, in its order, against what `make run` starts.
func TestReadme(t *testing.T) {
	home, err := os.MkdirTemp("", "trailpost-local-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeHome(t, home) })
	local := start(t, home)
	local.awaitCard(t)
	env := filepath.Join(home, "env")
	producer := strings.TrimSpace(shell(t, ". "+env+"; printf %s \"$PRODUCER_URL\""))

	// Where README's reader would be: in a checkout with its binaries.
	checkout := t.TempDir()
	if err := os.Symlink(home, filepath.Join(checkout, ".trailpost")); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(checkout, "bin")+"/", "../consumer")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	ran := 0
	for _, b := range readmeBlocks(t) {
		if b.language == "" {
			continue
		}
		if !b.run && b.elsewhere == "" {
			t.Errorf("line %d: nobody runs this block", b.line)
		}
		if !b.run {
			continue
		}
		ran++
		code := strings.ReplaceAll(b.code, "http://localhost:8001", producer)
		out, err := runBlock(t, b.language, code, checkout)
		if err != nil || strings.Contains(out, "HTTP/1.1 5") || strings.Contains(out, "HTTP/1.1 4") {
			t.Errorf("line %d: %v\n%s", b.line, err, out)
		}
	}
	if ran < 7 {
		t.Errorf("%d blocks were run", ran)
	}
	waitFor(t, "the events that README sends are rows", func() bool {
		return strings.TrimSpace(shell(t, ". "+env+"; psql -Atc 'SELECT count(*) FROM log_events'")) == "6"
	})
	checkClients(t, producer, func(id string) string {
		return strings.TrimSpace(shell(t, ". "+env+"; psql -Atc \"SELECT count(*) FROM log_events WHERE event_id = '"+id+"'\""))
	})
	local.signal(t, os.Interrupt)
	if err := local.wait(t); err != nil {
		t.Errorf("the end by Ctrl-C: %v\n%s", err, local.log())
	}
}

func runBlock(t *testing.T, language, code, dir string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var cmd *exec.Cmd
	switch language {
	case "bash":
		cmd = exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", code)
		cmd.Dir = dir
	case "python":
		cmd = exec.CommandContext(ctx, "python3", "-c", code)
		cmd.Dir = dir
	case "go":
		// In a folder of this module, which has the program's one dependency, and that ./... leaves out.
		folder, err := os.MkdirTemp("testdata", "readme")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(folder) })
		if err := os.WriteFile(filepath.Join(folder, "main.go"), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd = exec.CommandContext(ctx, "go", "run", "./"+folder)
	default:
		t.Fatalf("no way to run %q", language)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
