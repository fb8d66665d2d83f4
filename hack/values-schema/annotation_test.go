package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestAnnotate(t *testing.T) {
	for text, want := range map[string]schema{
		"minimum: 1; maximum: 9":                          {"minimum": 1, "maximum": 9},
		"type: [integer, null]":                           {"type": []any{"integer", "null"}},
		`pattern: ^[^\x00"#:]{1,3}$`:                      {"pattern": `^[^\x00"#:]{1,3}$`},
		"$ref: #/definitions/port":                        {"$ref": "#/definitions/port"},
		"items: {type: string, pattern: \"^[a-z0-9]+$\"}": {"items": map[string]any{"type": "string", "pattern": "^[a-z0-9]+$"}},
	} {
		got := schema{}
		if err := annotate(text, got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "minimun: 1", "minimum: 1; minimum: 2", "minimum", "minimum:", "items: {"} {
		if err := annotate(text, schema{}); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// What would hold nothing is an error: a misspelt keyword, a definition that is missing, a list
// of anything, a null of any type, and an annotation where the parser finds none.
func TestFaults(t *testing.T) {
	for values, want := range map[string]string{
		"a: 1 # @schema minimun: 1":                  `"minimun: 1" begins with none of`,
		"a: 1 # @schema $ref: #/definitions/nothing": `definitions.yaml has no "nothing"`,
		"a: []":                      "a: what is in the list?",
		"a: null":                    "a: type: … must say",
		"a: 1\n# @schema minimum: 0": "1 annotations, of which 0 belong",
		"a: # @schema $ref: #/definitions/strings\n  b: 1 # @schema minimum: 0": "2 annotations, of which 1 belong",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "values.yaml"), []byte(values+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ofChart(dir, "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", values, err)
		}
	}
}
