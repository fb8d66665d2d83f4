package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What the product's code declares, and the names of all its files, keep to the glossary.
func TestNames(t *testing.T) {
	for _, path := range files(t, "services/*.go") {
		checkName(t, path, filepath.Base(path))
		if strings.HasSuffix(path, "_test.go") {
			continue // tests name what varies in them
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, read(t, path), parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range declared(file) {
			checkName(t, path, name)
		}
	}
}

func checkName(t *testing.T, path, name string) {
	t.Helper()
	for _, r := range names {
		if r.found(path, name) {
			t.Errorf("%s: %s: better: %s", path, name, r.better)
		}
	}
}

func (r nameRule) found(path, name string) bool {
	return strings.HasPrefix(path, r.in) && r.pattern.MatchString(name)
}

// declared returns the names that a file declares: types (once more as "type NAME"), functions, methods,
// fields (those of a struct once more as "STRUCT.FIELD"), parameters (once more as "NAME TYPE"), variables
// and constants.
func declared(file *ast.File) (all []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			all = append(all, n.Name.Name)
		case *ast.TypeSpec:
			all = append(all, n.Name.Name, "type "+n.Name.Name)
			if s, ok := n.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						all = append(all, n.Name.Name+"."+name.Name)
					}
				}
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				all = append(all, name.Name)
			}
		case *ast.Field:
			for _, name := range n.Names {
				all = append(all, name.Name)
				if of, ok := n.Type.(*ast.Ident); ok {
					all = append(all, name.Name+" "+of.Name)
				}
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, left := range n.Lhs {
					if name, ok := left.(*ast.Ident); ok {
						all = append(all, name.Name)
					}
				}
			}
		}
		return true
	})
	return all
}

// Each rule finds its example in a file that is planted.
func TestRulesOfNamesFindWhatTheyAreFor(t *testing.T) {
	for _, r := range names {
		if !r.found(r.in+"x.go", r.planted) {
			t.Errorf("%q is not found", r.planted)
		}
	}
	const source = "package p\ntype batch struct{ key int }\nfunc (b *batch) settle(w client) { held := 1; _ = held }\nvar vitals, x = 1, 2\n"
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	got := declared(file)
	for _, want := range []string{"type batch", "batch.key", "settle", "w client", "held", "vitals", "x"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not among what is declared: %q", want, got)
		}
	}
}
