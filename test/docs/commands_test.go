package docs

import (
	"regexp"
	"strings"
	"testing"
)

var (
	opening = regexp.MustCompile("^ *```([a-z]+)$")
	mark    = regexp.MustCompile(`^<!-- (run|run by: .+|not run: .+|not run on this page: .+) -->$`)
	command = regexp.MustCompile(`^(\$ |\w+=|(bin/|hack/|k8s/)?(curl|go|helm|kubectl|make|migrate|psql|rabbitmqctl|skaffold|consumer|producer) )`)
	test    = regexp.MustCompile(`\bTest\w+`)
)

// notRun is how many blocks of code nobody runs, for the reasons that stand above them. Whoever
// adds one changes this number, and so has thought of a test first.
const notRun = 9

// runs are the tests that run what a page shows, in its order, where it says "run".
var runs = map[string]string{
	"README.md":                     "TestPages",
	"docs/clients.md":               "TestPages",
	"docs/dead-letters.md":          "TestPages",
	"docs/migrating-from-python.md": "TestPages",
	"docs/querying.md":              "TestPages",
	"docs/retention.md":             "TestMigrate",
	"docs/following.md":             "TestFollower",
}

// Every block of code in README and docs/ that names its language says in the line above who runs it. A whole
// page may say "not run on this page".
func TestCommandsAreRun(t *testing.T) {
	tests := map[string]bool{}
	for _, path := range files(t, "*_test.go") {
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(read(t, path), -1) {
			tests[m[1]] = true
		}
	}
	count := 0
	for _, p := range pages(t, "README.md", "docs") {
		if strings.HasPrefix(p.path, "docs/measurements/") {
			continue // what was run then
		}
		whole := false
		for _, line := range p.lines {
			whole = whole || strings.HasPrefix(line, "<!-- not run on this page: ")
		}
		open := false
		for i, line := range p.lines {
			if open {
				open = strings.TrimSpace(line) != "```"
				continue
			}
			if strings.TrimSpace(line) == "```" { // output, pictures
				open = true
				if i+1 < len(p.lines) && command.MatchString(p.lines[i+1]) {
					t.Errorf("%s:%d: commands without a language", p.path, i+1)
				}
				continue
			}
			m := opening.FindStringSubmatch(line)
			if m == nil {
				continue
			}
			open = true
			said := ""
			if i > 0 {
				if m := mark.FindStringSubmatch(strings.TrimSpace(p.lines[i-1])); m != nil {
					said = m[1]
				}
			}
			switch {
			case said == "" && whole:
			case said == "":
				t.Errorf("%s:%d: nobody runs this block, and it doesn't say why", p.path, i+1)
			case strings.HasPrefix(said, "not run"):
				count++
			case said == "run":
				said = runs[p.path]
				if said == "" {
					t.Errorf("%s:%d: no test runs the blocks of this page", p.path, i+1)
				}
			}
			for _, name := range test.FindAllString(said, -1) {
				if !tests[name] {
					t.Errorf("%s:%d: there is no %s", p.path, i+1, name)
				}
			}
		}
	}
	if count != notRun {
		t.Errorf("%d blocks are not run, want %d", count, notRun)
	}
}
