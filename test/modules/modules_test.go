package modules

import (
	"encoding/json"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/test/golden"
)

// tools are the modules that only pin tools: they have no packages.
const tools = "hack/tools"

// modules are the folders of all others.
func modules(t *testing.T) (folders []string) {
	t.Helper()
	for _, file := range tracked(t, "*go.mod") {
		if folder := path.Dir(file); folder != tools && !strings.HasPrefix(folder, tools+"/") {
			folders = append(folders, folder)
		}
	}
	return folders
}

// pattern is what go's commands call all packages of a module.
func pattern(folder string) string {
	if folder == "." {
		return "./..."
	}
	return "./" + folder + "/..."
}

// ./... has the packages of one module: what a command should cover must be named to it.
func TestEveryModuleIsCovered(t *testing.T) {
	var want []string
	for _, folder := range modules(t) {
		want = append(want, pattern(folder))
	}
	slices.Sort(want)
	if len(want) < 2 {
		t.Fatalf("modules %q", want)
	}
	for target, line := range map[string]string{
		"test":                  `go test .*-race .*`,
		"check-vet":             `^go vet `,
		"check-lint":            `golangci-lint\)" run `, // depguard is one of its linters
		"check-vulnerabilities": `govulncheck\)" `,
	} {
		recipe := regexp.MustCompile(`(?m)` + line + `.*$`).FindString(command(t, "make", "--dry-run", target))
		var got []string
		for word := range strings.FieldsSeq(recipe) {
			if strings.HasSuffix(word, "...") {
				got = append(got, word)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("make %s covers %q, want %q (go.work)", target, got, want)
		}
	}
	if files := tracked(t, "*.golangci.*"); !slices.Equal(files, []string{".golangci.yml"}) {
		t.Errorf("the linter's rules are in %q", files)
	}
}

// A folder of Go files that no module has, or that a build tag hides, would be tested by nobody.
func TestEveryFolderIsAPackage(t *testing.T) {
	arguments := []string{"list", "-tags", "e2e," + tags(t), "-f", "{{.Dir}}"}
	for _, folder := range modules(t) {
		arguments = append(arguments, pattern(folder))
	}
	packages := strings.Fields(command(t, "go", arguments...))
	for _, file := range tracked(t, "*.go") {
		if strings.Contains(file, "/testdata/") {
			continue
		}
		if folder := filepath.Join(golden.Root(t), filepath.Dir(file)); !slices.Contains(packages, folder) {
			t.Errorf("%s is in no package", file)
			packages = append(packages, folder) // said once
		}
	}
}

// make test-new finds packages of every module, too.
func TestServerPackagesAreOfEveryModule(t *testing.T) {
	const faults = "github.com/trailpost/trailpost/services/internal/faults"
	if list := strings.Fields(command(t, "hack/server-packages")); !slices.Contains(list, faults) {
		t.Errorf("%s is not in %q", faults, list)
	}
}

// manifest is what `go mod edit -json` prints.
type manifest struct {
	Require []struct {
		Path, Version string
		Indirect      bool
	}
	Replace, Tool []any
}

func product(t *testing.T) (m manifest) {
	t.Helper()
	if err := json.Unmarshal([]byte(command(t, "go", "mod", "edit", "-json")), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// go.mod is the product's: what only some tests need is required by their own modules.
func TestTheProductsModule(t *testing.T) {
	m := product(t)
	for _, r := range m.Require {
		for _, other := range []string{"k8s.io/", "sigs.k8s.io/", "github.com/Shopify/toxiproxy/", "github.com/rs/zerolog", "github.com/getkin/kin-openapi"} {
			if strings.HasPrefix(r.Path, other) {
				t.Errorf("the product requires %s", r.Path)
			}
		}
	}
	if len(m.Replace)+len(m.Tool) > 0 {
		t.Errorf("the product's module replaces %v and has the tools %v", m.Replace, m.Tool)
	}
}

// With go.work, the highest version that any module asks for is used by all: tests would run with other
// libraries than an image has, which has the product's module alone.
func TestTheWorkspaceHasTheProductsVersions(t *testing.T) {
	versions := map[string]string{}
	for line := range strings.Lines(command(t, "go", "list", "-m", "all")) {
		if name, version, found := strings.Cut(strings.TrimSpace(line), " "); found {
			versions[name] = version
		}
	}
	for _, r := range product(t).Require {
		if versions[r.Path] != r.Version {
			t.Errorf("%s is %s in the workspace, and %s in go.mod: go work sync, then make check-modules", r.Path, versions[r.Path], r.Version)
		}
	}
}
