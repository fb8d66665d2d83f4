package chart_test

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The events that people are shown are of known types: one of another type is accepted with a
// warning, and counted.
func TestExampleEventsAreOfKnownTypes(t *testing.T) {
	const root = chart + "/../.."
	known := regexp.MustCompile(`Known: ([a-z_, ]+)\.`)
	example := regexp.MustCompile(`["']?event_type["']?: ?["']([^"']*)["']`)
	var types []string
	if m := known.FindSubmatch(read(t, root+"/services/internal/ingest/apidocs/openapi.json")); m != nil {
		types = strings.Split(string(m[1]), ", ")
	}
	if len(types) < 17 {
		t.Fatalf("the description of the API names the types %q", types)
	}
	seen := map[string]int{}
	look := func(file string) {
		for _, m := range example.FindAllSubmatch(read(t, file), -1) {
			seen[filepath.Base(file)]++
			if !slices.Contains(types, string(m[1])) {
				t.Errorf("%s: an event of the type %q", file, m[1])
			}
		}
	}
	for _, tree := range []string{"charts", "k8s", "docs"} {
		err := filepath.WalkDir(root+"/"+tree, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, "_test.go") {
				return err
			}
			look(path)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	look(root + "/README.md")
	for _, file := range []string{"NOTES.txt", "README.md", "clients.md"} {
		if seen[file] == 0 {
			t.Errorf("no event is seen in %s", file)
		}
	}
}
