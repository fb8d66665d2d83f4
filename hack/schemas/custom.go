package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"
)

// writeCustom makes of a CustomResourceDefinition a schema for each of its versions, and keeps it in crds under its name.
func writeCustom(dir, name string, definition []byte) error {
	if err := os.WriteFile(filepath.Join(dir, "crds", name), definition, 0o644); err != nil {
		return err
	}
	var crd struct {
		Spec struct {
			Group string
			Names struct{ Kind string }

			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema schema `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(definition, &crd); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, version := range crd.Spec.Versions {
		s := version.Schema.OpenAPIV3Schema
		forbidOthers(s)
		properties, ok := s["properties"].(schema)
		if !ok {
			return fmt.Errorf("%s: version %s has no properties", name, version.Name)
		}
		properties["metadata"] = schema{"$ref": definitionsFile + "#/definitions/" + objectMeta}
		k := kind{crd.Spec.Group, version.Name, crd.Spec.Names.Kind}
		if err := save(dir, k.fileName(), s); err != nil {
			return err
		}
	}
	return nil
}
