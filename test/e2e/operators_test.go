//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestOperators: the API server, which has the operators' definitions but not the
// operators, takes what k8s/ describes as it is, and the chart with the values for it; and
// refuses it with one misspelt field in any of its files, or against a rule of the
// definitions.
func TestOperators(t *testing.T) {
	t.Parallel()
	haveDefinitions(t)
	haveNamespace(t, "trailpost")

	for _, overlay := range []string{"production", "site", "restore"} {
		t.Run(overlay, func(t *testing.T) {
			out, err := dryRun(t.Context(), filepath.Join(machine.root, "k8s"), overlay)
			if err != nil {
				t.Fatal(err)
			}
			built, err := command(t.Context(), "kubectl", "kustomize", filepath.Join("k8s", "overlays", overlay))
			if err != nil {
				t.Fatal(err)
			}
			want := len(regexp.MustCompile(`(?m)^kind: `).FindAllString(built, -1))
			if got := strings.Count(out, "(server dry run)"); got != want {
				t.Errorf("the API server took %d objects of %d:\n%s", got, want, out)
			}
		})
	}
	t.Run("chart", func(t *testing.T) {
		rendered := filepath.Join(t.TempDir(), "rendered.yaml")
		out, err := command(t.Context(), string(machine.helm), "template", "trailpost", "charts/trailpost", "--namespace=trailpost", "--values=k8s/values-operators.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(rendered, []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := command(t.Context(), "kubectl", "apply", "--dry-run=server", "--filename="+rendered); err != nil {
			t.Error(err)
		}
	})
	t.Run("misspelt", misspelt)
	t.Run("rules", rules)
}

// misspelt misspells fields of each file, one at a time. What kustomize does not refuse goes to the API
// server in one file, since kubectl reads all its definitions first; it tries every object and tells each
// fault, and no two misspellings are the same.
func misspelt(t *testing.T) {
	root := filepath.Join(machine.root, "k8s")
	files, misspellings := 0, 0
	var wrong, objects []string // of the API server
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		// The values are helm's, and the chart's tests are about them; kustomize's references are
		// no manifest.
		if err != nil || filepath.Ext(name) != ".yaml" || name == "values-operators.yaml" || entry.Name() == "references.yaml" {
			return err
		}
		files++
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return err
		}
		found := fields(string(text))
		if len(found) == 0 {
			t.Errorf("%s: no field was found to misspell", name)
		}
		for _, f := range found {
			misspellings++
			misspelling := fmt.Sprintf("%sX%d", f.name, misspellings)
			tree := copyTree(t, root)
			lines := strings.Split(string(text), "\n")
			lines[f.line] = strings.Replace(lines[f.line], f.name+":", misspelling+":", 1)
			if err := os.WriteFile(filepath.Join(tree, name), []byte(strings.Join(lines, "\n")), 0o644); err != nil {
				return err
			}
			changed, err := changedObjects(t, tree, overlayOf(name))
			switch {
			case err == nil:
				wrong, objects = append(wrong, misspelling), append(objects, changed...)
			case !faultOf(misspelling).MatchString(err.Error()):
				t.Errorf("%s: refused for another reason than %s: %v", name, misspelling, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 15 {
		t.Errorf("%d files were misspelt, want all of them", files)
	}
	out, err := dryRunObjects(t, objects)
	if err == nil {
		t.Fatalf("all is taken:\n%s", out)
	}
	for _, misspelling := range wrong {
		if !faultOf(misspelling).MatchString(err.Error()) {
			t.Errorf("%s is not among what is refused: %v", misspelling, err)
		}
	}
	t.Logf("%d misspellings in %d files, %d of them for the API server", misspellings, files, len(wrong))
}

// faultOf is what the refusal of a misspelt field says.
func faultOf(misspelling string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)(unknown field|cannot unmarshal|invalid Kustomization)[^\n]*\b` + misspelling + `\b`)
}

// overlayOf is one that a file takes part in.
func overlayOf(name string) string {
	switch part := strings.Split(name, "/"); {
	case part[1] == "restore":
		return "restore"
	case part[0] == "components" || part[1] == "site":
		return "site"
	}
	return "production"
}

// rules breaks rules that are no matter of names and types (CEL).
func rules(t *testing.T) {
	const postgresql, rabbitmq = "base/postgresql/cluster.yaml", "base/rabbitmq/cluster.yaml"
	for _, test := range []struct{ file, before, after, want string }{
		{postgresql, "number: 1\n", "number: 0\n", "should be greater than zero"},
		{postgresql, "  imageName: postgres:18\n",
			"  imageName: postgres:18\n  imageCatalogRef: {apiGroup: postgresql.cnpg.io, kind: ImageCatalog, name: c, major: 18}\n",
			"imageName and imageCatalogRef are mutually exclusive"},
		{postgresql, "encoding: UTF8\n", "encoding: UTF8\n      builtinLocale: C.UTF-8\n", "builtinLocale is only available"},
		{postgresql, "method: any\n", "method: any\n      podFailureDomainKeys: [a]\n      nodeFailureDomainKeys: [b]\n", "are mutually exclusive"},
		{rabbitmq, "    additionalConfig: |\n", "    envConfig: LOGS=$(id)\n    additionalConfig: |\n", "must not contain shell command substitution"},
	} {
		tree := copyTree(t, filepath.Join(machine.root, "k8s"))
		edit(t, filepath.Join(tree, filepath.FromSlash(test.file)), test.before, test.after)
		refused(t, tree, "production", regexp.MustCompile(regexp.QuoteMeta(test.want)))
	}
}

// dryRun is `kubectl apply --dry-run=server -k`. What is not there is refused, which is
// kubectl's default; a warning is an error here.
func dryRun(ctx context.Context, tree, overlay string) (stdout string, err error) {
	stdout, _, err = commandIn(ctx, machine.root, "kubectl", "apply", "--dry-run=server", "--warnings-as-errors",
		"--kustomize", filepath.Join(tree, "overlays", overlay))
	return stdout, err
}

// refused has the API server refuse what is another in tree's overlay than in ours, which
// is taken.
func refused(t *testing.T, tree, overlay string, why *regexp.Regexp) {
	t.Helper()
	switch out, err := dryRunChanges(t, tree, overlay); {
	case err == nil:
		t.Errorf("taken, want it refused for %s:\n%s", why, out)
	case !why.MatchString(err.Error()):
		t.Errorf("refused for another reason than %s: %v", why, err)
	}
}

// dryRunChanges is dryRun of the objects that are not the same as in our own k8s/: all of
// them take seconds.
func dryRunChanges(t *testing.T, tree, overlay string) (stdout string, err error) {
	t.Helper()
	objects, err := changedObjects(t, tree, overlay)
	if err != nil {
		return "", err
	}
	return dryRunObjects(t, objects)
}

// changedObjects are those of a tree's overlay that are not the same as our own.
func changedObjects(t *testing.T, tree, overlay string) (objects []string, err error) {
	t.Helper()
	own, err := ownObjects(overlay)()
	if err != nil {
		t.Fatal(err)
	}
	objects, err = kustomize(t.Context(), tree, overlay)
	return slices.DeleteFunc(objects, func(object string) bool { return slices.Contains(own, object) }), err
}

func dryRunObjects(t *testing.T, objects []string) (stdout string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "objects.yaml")
	if err := os.WriteFile(file, []byte(strings.Join(objects, documents)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return command(t.Context(), "kubectl", "apply", "--dry-run=server", "--warnings-as-errors", "--filename="+file)
}

// documents is what kustomize puts between two objects.
const documents = "\n---\n"

// kustomize builds the objects of a tree's overlay.
func kustomize(ctx context.Context, tree, overlay string) (objects []string, err error) {
	text, err := command(ctx, "kubectl", "kustomize", filepath.Join(tree, "overlays", overlay))
	return strings.Split(strings.TrimSuffix(text, "\n"), documents), err
}

var ownBuilds sync.Map // by overlay

// ownObjects are those of our own k8s/, which are built once.
func ownObjects(overlay string) func() ([]string, error) {
	once, _ := ownBuilds.LoadOrStore(overlay, sync.OnceValues(func() ([]string, error) {
		return kustomize(context.Background(), filepath.Join(machine.root, "k8s"), overlay)
	}))
	return once.(func() ([]string, error))
}

func copyTree(t *testing.T, root string) (copied string) {
	t.Helper()
	copied = t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	return copied
}

// field is a key of a mapping in a YAML file.
type field struct {
	name string
	line int
}

// freeKeys are mappings whose keys are anybody's.
var freeKeys = []string{"metadata", "labels", "annotations", "matchLabels", "parameters", "requests", "limits"}

// wrapping are the keys of an object, and of a patch by paths, that only hold what it says.
var wrapping = []string{"apiVersion", "kind", "metadata", "spec", "op", "path", "value"}

// fields finds two fields of each document: the first one below spec, or of the document if
// that has no spec, and the deepest one. It knows as much YAML as our files have.
func fields(text string) (found []field) {
	key := regexp.MustCompile(`^( *(?:- )?)([A-Za-z][A-Za-z_]*):( |$)`)
	type level struct {
		indent int
		name   string
	}
	var path []level
	var first, deepest field
	depth, scalar := -1, -1
	next := func() {
		if first.name != "" {
			found = append(found, first)
		}
		if deepest.name != "" && deepest != first {
			found = append(found, deepest)
		}
		path, first, deepest, depth, scalar = nil, field{}, field{}, -1, -1
	}
	for i, line := range strings.Split(text, "\n") {
		if line == "---" {
			next()
			continue
		}
		match := key.FindStringSubmatch(line)
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if scalar >= 0 && (indent > scalar || line == "") { // within a text
			continue
		}
		scalar = -1
		if match == nil {
			continue
		}
		at := len(match[1])
		for len(path) > 0 && path[len(path)-1].indent >= at {
			path = path[:len(path)-1]
		}
		path = append(path, level{at, match[2]})
		if strings.HasSuffix(line, "|") {
			scalar = indent
		}
		free := slices.ContainsFunc(path[:len(path)-1], func(l level) bool { return slices.Contains(freeKeys, l.name) })
		if free || slices.Contains(wrapping, match[2]) && len(path) == 1 {
			continue
		}
		if first.name == "" {
			first = field{match[2], i}
		}
		if len(path) > depth {
			depth, deepest = len(path), field{match[2], i}
		}
	}
	next()
	if len(found) > 0 || !strings.Contains(text, "kind: Namespace") {
		return found
	}
	// A namespace has metadata and nothing else.
	for i, line := range strings.Split(text, "\n") {
		if line == "  labels:" {
			found = append(found, field{"labels", i})
		}
	}
	return found
}

// manager is who we are to the API server.
const manager = "trailpost-e2e"

// haveNamespace makes a namespace if it is missing: a dry run makes none for what is in it.
func haveNamespace(t *testing.T, name string) {
	t.Helper()
	out, err := command(t.Context(), "kubectl", "get", "namespace", name, "--ignore-not-found", "--output=name")
	if err != nil {
		t.Fatal(err)
	}
	if out != "" {
		return
	}
	if _, err := command(t.Context(), "kubectl", "apply", "--filename=k8s/base/namespace.yaml"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		if _, err := command(ctx, "kubectl", "delete", "namespace", name); err != nil {
			t.Error(err)
		}
	})
}
