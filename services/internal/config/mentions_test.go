package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Errors and logs name the setting that mends a fault, where the fault is understood: deep in broker,
// store and policy, which do not know this package. Each such name must be a setting's.
func TestSettingsThatTextsMention(t *testing.T) {
	known := map[string]bool{}
	for _, f := range fields(new(Config)) {
		known[f.name] = true
		if f.isSecret() {
			known[f.name+fileSuffix] = true
		}
	}
	mention := regexp.MustCompile(`\b(?:RABBITMQ|DATABASE|ADMIN_DATABASE|PRODUCER|CONSUMER|MIGRATE|IDENTITY|OTEL)_[A-Z][A-Z0-9_]*\b`)
	// Those that OpenTelemetry's specification has and we may not, and psql's.
	others := regexp.MustCompile(`^(OTEL_.*|DATABASE_URL|PRODUCER_URL|CONSUMER_URL)$`)
	seen := map[string]int{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case "config", "devservers", "faults", "followers", "integration", "testbed", "testdata":
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			text, ok := n.(*ast.BasicLit)
			if !ok || text.Kind != token.STRING {
				return true
			}
			for _, name := range mention.FindAllString(text.Value, -1) {
				seen[strings.Split(filepath.ToSlash(path), "/")[1]]++
				if !known[name] && !others.MatchString(name) {
					t.Errorf("%s names %s, which is no setting", path, name)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"app", "broker", "policy", "store"} {
		if seen[where] == 0 {
			t.Errorf("no setting is named in %s: are the texts looked at?", where)
		}
	}
}
