package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// metadata is what a schema depends on in Chart.yaml.
type metadata struct {
	Name         string `yaml:"name"`
	Dependencies []struct {
		Name      string `yaml:"name"`
		Condition string `yaml:"condition"`
	} `yaml:"dependencies"`
}

// generate returns the schemas of a chart and its subcharts by their folders.
func generate(dir string) (map[string]schema, error) {
	var chart metadata
	if err := readYAML(filepath.Join(dir, "Chart.yaml"), &chart); err != nil {
		return nil, err
	}
	whole, err := ofChart(dir, chart.Name)
	if err != nil {
		return nil, err
	}
	schemas := map[string]schema{dir: whole}
	for _, dependency := range chart.Dependencies {
		folder := filepath.Join(dir, "charts", dependency.Name)
		part, err := ofChart(folder, dependency.Name)
		if err != nil {
			return nil, err
		}
		// Helm hands the condition down with the other values of the subchart.
		if name, key, found := strings.Cut(dependency.Condition, "."); found && name == dependency.Name {
			part.properties()[key] = schema{"type": "boolean", "description": "The condition of the chart that this one is part of."}
		}
		schemas[folder] = part
		if err := declare(whole, dependency.Name, part); err != nil {
			return nil, err
		}
	}
	return schemas, nil
}

// declare adds a subchart's values to the schema of the chart. The subchart's schema says more,
// but holds only while the subchart is enabled: their names must be known here, too.
func declare(whole schema, subchart string, part schema) error {
	here, ok := whole.properties()[subchart].(schema)
	if !ok {
		return fmt.Errorf("values.yaml has no section %s", subchart)
	}
	for name := range part.properties() {
		if _, said := here.properties()[name]; !said {
			here.properties()[name] = schema{}
		}
	}
	return nil
}

// ofChart returns the schema of one chart's values.yaml.
func ofChart(dir, name string) (schema, error) {
	file := filepath.Join(dir, "values.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var b builder
	whole := b.object(document.Content[0])
	if said := strings.Count(string(text), marker); said != b.annotations {
		b.fault(document.Content[0], "%d annotations, of which %d belong to a value; before a list in lines they stand in a line of their own", said, b.annotations)
	}
	definitions, err := definitionsOf(whole)
	if err := errors.Join(append(b.faults, err)...); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	whole["$schema"] = "http://json-schema.org/draft-07/schema#"
	whole["title"] = "Values of the chart " + name
	if len(definitions) > 0 {
		whole["definitions"] = definitions
	}
	return whole, nil
}

func readYAML(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
