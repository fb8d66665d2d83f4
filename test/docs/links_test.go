package docs

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/test/golden"
)

var (
	inlineCode = regexp.MustCompile("`[^`]*`")
	link       = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	heading    = regexp.MustCompile(`^#{1,6} +(.+?) *#*$`)
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// Every relative link of every page leads to a file or folder, and its anchor to a heading.
func TestLinks(t *testing.T) {
	all := pages(t, ".")
	anchors := map[string]map[string]bool{}
	for _, p := range all {
		anchors[p.path] = p.anchors()
	}
	checked := 0
	for _, p := range all {
		for _, target := range p.links() {
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			checked++
			file, anchor, _ := strings.Cut(target, "#")
			to := p.path
			if file != "" {
				to = path.Join(path.Dir(p.path), file)
			}
			if _, err := os.Stat(filepath.Join(golden.Root(t), to)); err != nil {
				t.Errorf("%s: %s: there is no %s", p.path, target, to)
			} else if anchor != "" && !anchors[to][anchor] {
				t.Errorf("%s: %s: %s has no such heading", p.path, target, to)
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d links were checked", checked)
	}
}

// prose are the page's lines outside of fenced code, with their numbers; code lines are empty.
func (p page) prose() []string {
	lines := make([]string, len(p.lines))
	fenced := false
	for i, line := range p.lines {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		} else if !fenced {
			lines[i] = line
		}
	}
	return lines
}

func (p page) links() (targets []string) {
	for _, line := range p.prose() {
		for _, m := range link.FindAllStringSubmatch(inlineCode.ReplaceAllString(line, "code"), -1) {
			targets = append(targets, m[1])
		}
	}
	return targets
}

// anchors are those that GitHub gives the page's headings.
func (p page) anchors() map[string]bool {
	found := map[string]bool{}
	for _, line := range p.prose() {
		if m := heading.FindStringSubmatch(line); m != nil {
			slug := notInSlug.ReplaceAllString(strings.ToLower(link.ReplaceAllString(m[1], "]")), "")
			found[strings.ReplaceAll(slug, " ", "-")] = true
		}
	}
	return found
}
