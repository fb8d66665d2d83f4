package golden

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// end closes every block.
const end = "<!-- end -->\n"

// Block holds what stands in a page of the repository, between the line begin and the next
// "<!-- end -->", against want, which the code says. With -update it writes want there instead
// of failing; hint is the command that does so. page is relative to the root of the repository.
func Block(t testing.TB, page, begin, want, hint string) {
	t.Helper()
	file := filepath.Join(Root(t), page)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	is, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no place for it: %s", file, begin)
	}
	if is == want {
		return
	}
	if !*update {
		t.Errorf("%s lists something else than the code; `%s` fixes it", page, hint)
		return
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Root is the folder of the module that is tested.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod in the folders above")
		}
		dir = up
	}
}
