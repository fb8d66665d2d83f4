package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type schema = map[string]any

const (
	definitionsFile = "definitions.json"
	objectMeta      = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
)

// writeBuiltIn makes of a cluster's OpenAPI document one file with all definitions and, for each kind, one that refers
// to it.
func writeBuiltIn(dir, swagger string) error {
	text, err := os.ReadFile(swagger)
	if err != nil {
		return err
	}
	var document struct {
		Definitions map[string]schema `json:"definitions"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return fmt.Errorf("%s: %w", swagger, err)
	}
	for name, definition := range document.Definitions {
		forbidOthers(definition)
		switch name {
		case "io.k8s.apimachinery.pkg.api.resource.Quantity": // 1 is as good as "1"
			definition["type"] = []string{"string", "number"}
		case "io.k8s.apimachinery.pkg.util.intstr.IntOrString":
			definition["type"] = []string{"string", "integer"}
		}
		for _, kind := range kinds(definition) {
			reference := schema{"$ref": definitionsFile + "#/definitions/" + name}
			if err := save(dir, kind.fileName(), reference); err != nil {
				return err
			}
		}
	}
	return save(dir, definitionsFile, schema{"definitions": document.Definitions})
}

// kind is a group, a version and a kind.
type kind struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
}

// fileName is where kubeconform looks with the template "{{.ResourceKind}}{{.KindSuffix}}.json".
func (k kind) fileName() string {
	group, _, _ := strings.Cut(k.Group, ".")
	if group != "" {
		group = "-" + group
	}
	return strings.ToLower(k.Kind + group + "-" + k.Version + ".json")
}

func kinds(definition schema) (kinds []kind) {
	text, err := json.Marshal(definition["x-kubernetes-group-version-kind"])
	if err != nil || json.Unmarshal(text, &kinds) != nil {
		return nil
	}
	return kinds
}

// forbidOthers refuses, here and below, every property that is not named.
func forbidOthers(s schema) {
	if properties, ok := s["properties"].(schema); ok {
		if _, says := s["additionalProperties"]; !says && s["x-kubernetes-preserve-unknown-fields"] != true {
			s["additionalProperties"] = false
		}
		for _, property := range properties {
			forbidOthersIn(property)
		}
	}
	forbidOthersIn(s["items"])
	forbidOthersIn(s["additionalProperties"])
}

func forbidOthersIn(v any) {
	if s, ok := v.(schema); ok {
		forbidOthers(s)
	}
}
