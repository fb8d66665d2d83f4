package main

import (
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// writeCustom makes of a CustomResourceDefinition a schema for each of its versions.
func writeCustom(dir, definition string) error {
	text, err := os.ReadFile(definition)
	if err != nil {
		return err
	}
	var crd struct {
		Spec struct {
			Group string
			Names struct{ Kind string }

			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema schema `json:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return fmt.Errorf("%s: %w", definition, err)
	}
	for _, version := range crd.Spec.Versions {
		s := version.Schema.OpenAPIV3Schema
		forbidOthers(s)
		properties, ok := s["properties"].(schema)
		if !ok {
			return fmt.Errorf("%s: version %s has no properties", definition, version.Name)
		}
		properties["metadata"] = schema{"$ref": definitionsFile + "#/definitions/" + objectMeta}
		k := kind{crd.Spec.Group, version.Name, crd.Spec.Names.Kind}
		if err := save(dir, k.fileName(), s); err != nil {
			return err
		}
	}
	return nil
}
