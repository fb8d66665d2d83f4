// Command values-schema writes values.schema.json of a chart and its subcharts from their
// values.yaml: types from the defaults, limits from `# @schema` annotations beside them, and
// descriptions from the comments that helm-docs reads.
//
//	go -C hack/values-schema run . [-check] [CHART]
//
// With -check it writes nothing and fails if a file is not what it would write.
//
// The annotations are those of helm-values-schema-json, which external-dns uses, as far as the
// charts need them: `replicas: null # @schema type: [integer, null]; minimum: 0`. A long one
// stands in lines of its own above the description. See annotation.go.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	check := flag.Bool("check", false, "write nothing, and fail if a file is not current")
	flag.Parse()
	dir := "../../charts/trailpost"
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	if err := run(dir, *check); err != nil {
		fmt.Fprintln(os.Stderr, "values-schema:", err)
		os.Exit(1)
	}
}

func run(dir string, check bool) error {
	schemas, err := generate(dir)
	if err != nil {
		return err
	}
	var faults []error
	for folder, schema := range schemas {
		text, err := encode(schema)
		if err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
		file := filepath.Join(folder, "values.schema.json")
		if !check {
			faults = append(faults, os.WriteFile(file, text, 0o644))
			continue
		}
		if is, err := os.ReadFile(file); err != nil || !bytes.Equal(is, text) {
			faults = append(faults, fmt.Errorf("%s is not what values.yaml says: make chart-docs", file))
		}
	}
	return errors.Join(faults...)
}

// encode returns a schema as a file: indented, and with its keys sorted.
func encode(s schema) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // patterns are read by people, too
	encoder.SetIndent("", "  ")
	err := encoder.Encode(s)
	return text.Bytes(), err
}
