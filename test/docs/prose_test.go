package docs

import (
	"go/scanner"
	"go/token"
	"strings"
	"testing"
)

// What people read keeps to docs/style.md: pages, values and the help texts of settings (docs/configuration.md).
func TestProse(t *testing.T) {
	for _, p := range pages(t, ".") {
		// What was written down at a date stays as it is.
		if !strings.HasPrefix(p.path, "docs/measurements/") && p.path != "docs/style.md" {
			check(t, p.path, p.prose())
		}
	}
	for _, path := range files(t, "charts/*values.yaml", "k8s/*.yaml", "charts/*NOTES.txt", "services/*/testdata/usage_*.txt") {
		check(t, path, strings.Split(read(t, path), "\n"))
	}
}

// What the programs print keeps to it as well: help texts, errors, log lines, and whatever else is a string.
func TestProseOfStrings(t *testing.T) {
	for _, path := range files(t, "services/*.go") {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text := []byte(read(t, path))
		set := token.NewFileSet()
		file := set.AddFile(path, -1, len(text))
		var s scanner.Scanner
		s.Init(file, text, nil, 0)
		lines := make([]string, file.LineCount()+strings.Count(string(text), "\n")+1)
		for {
			at, kind, literal := s.Scan()
			if kind == token.EOF {
				break
			}
			if kind == token.STRING {
				lines[set.Position(at).Line-1] += literal
			}
		}
		check(t, path, lines)
	}
}

func check(t *testing.T, path string, lines []string) {
	t.Helper()
	for i, line := range lines {
		line = inlineCode.ReplaceAllString(line, "code")
		for _, r := range english {
			if found := r.pattern.FindString(line); found != "" {
				t.Errorf("%s:%d: %q (%s): %s", path, i+1, found, r.name, r.better)
			}
		}
	}
}

// Each rule finds its example.
func TestRulesFindWhatTheyAreFor(t *testing.T) {
	for _, r := range english {
		if !r.pattern.MatchString(r.planted) {
			t.Errorf("%s: not found in %q", r.name, r.planted)
		}
	}
}
