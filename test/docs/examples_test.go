package docs

import (
	"path"
	"testing"

	"github.com/trailpost/trailpost/test/golden"
)

// The clients in docs/clients.md are the files of docs/examples, which the tests of services/local run.
func TestExamplesAreCopied(t *testing.T) {
	languages := map[string]string{".sh": "bash", ".py": "python", ".go": "go"}
	for _, file := range []string{"docs/examples/client.sh", "docs/examples/client.py", "docs/examples/go/main.go"} {
		hint := "go test ./test/docs -update"
		want := "<!-- run by: TestPages -->\n```" + languages[path.Ext(file)] + "\n" + read(t, file) + "```\n"
		golden.Block(t, "docs/clients.md", "<!-- "+file+": copied by `"+hint+"` -->\n", want, hint)
	}
}
