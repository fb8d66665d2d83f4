// Command dashboards writes Trailpost's Grafana dashboards, the JSON files of the chart.
//
//	go -C hack/dashboards run . [-check] [DIR]
//
// With -check it writes nothing and fails if a file is not what it would write. What each
// panel asks is run against a real Prometheus by the tests of services/internal/testbed/dashboards
// and test/e2e.
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
	dir := "../../charts/trailpost/dashboards"
	if flag.NArg() > 0 {
		dir = flag.Arg(0)
	}
	if err := run(dir, *check); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func run(dir string, check bool) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	wanted := map[string]bool{}
	var faults []error
	for _, board := range []board{overview(), pipeline(), servers()} {
		text, err := board.json()
		if err != nil {
			return fmt.Errorf("%s: %w", board.title, err)
		}
		file := filepath.Join(dir, board.uid+".json")
		wanted[file] = true
		if !check {
			faults = append(faults, os.WriteFile(file, text, 0o644))
			continue
		}
		if is, err := os.ReadFile(file); err != nil || !bytes.Equal(is, text) {
			faults = append(faults, fmt.Errorf("%s is not current: run make dashboards", file))
		}
	}
	there, err := filepath.Glob(filepath.Join(dir, "*.json"))
	for _, file := range there {
		if !wanted[file] {
			faults = append(faults, fmt.Errorf("%s is none of the dashboards: remove it", file))
		}
	}
	return errors.Join(append(faults, err)...)
}

// json is the dashboard's file.
func (b board) json() ([]byte, error) {
	built, err := b.build()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // queries are read by people, too
	encoder.SetIndent("", "  ")
	err = encoder.Encode(built)
	return text.Bytes(), err
}
