package main

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// definitionsFile has the shapes that many values share, by their names.
//
//go:embed definitions.yaml
var definitionsFile []byte

// schema is a JSON schema, or a part of one.
type schema map[string]any

func (s schema) properties() schema {
	properties, _ := s["properties"].(schema)
	return properties
}

// builder makes the schema of one file.
type builder struct {
	annotations int
	faults      []error
}

func (b *builder) fault(at *yaml.Node, format string, args ...any) {
	b.faults = append(b.faults, fmt.Errorf("line %d: %s", at.Line, fmt.Sprintf(format, args...)))
}

// object returns the schema of a mapping: its keys, and no others.
func (b *builder) object(node *yaml.Node) schema {
	properties := schema{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		properties[key.Value] = b.value(key, value)
	}
	return schema{"type": "object", "additionalProperties": false, "properties": properties}
}

// value returns the schema of one value: what its annotations say, and else what follows from
// its default.
func (b *builder) value(key, value *yaml.Node) schema {
	s := schema{}
	for _, text := range annotations(key, value) {
		b.annotations++
		if err := annotate(text, s); err != nil {
			b.fault(key, "%s: %v", key.Value, err)
		}
	}
	b.infer(key, value, s)
	if text := description(key); text != "" {
		s["description"] = text
	}
	return s
}

// infer adds to the annotations of a value what follows from its default.
func (b *builder) infer(key, value *yaml.Node, s schema) {
	for _, decided := range []string{"$ref", "enum", "type"} {
		if s[decided] != nil {
			return
		}
	}
	open := s[skipProperties] == true
	delete(s, skipProperties)
	switch tag := value.ShortTag(); {
	case tag == "!!map" && (open || len(value.Content) == 0):
		s["type"] = "object"
	case tag == "!!map":
		for keyword, inferred := range b.object(value) {
			if s[keyword] == nil {
				s[keyword] = inferred
			}
		}
		if s["additionalProperties"] == true {
			delete(s, "additionalProperties")
		}
	case tag == "!!seq":
		s["type"] = "array"
		if s["items"] == nil {
			b.fault(key, "%s: what is in the list? items: …", key.Value)
		}
	default:
		if types[tag] == "" {
			b.fault(key, "%s: type: … must say what may be there beside %s", key.Value, tag)
		}
		s["type"] = types[tag]
	}
}

// types are JSON schema's names of YAML's scalars.
var types = map[string]string{"!!bool": "boolean", "!!float": "number", "!!int": "integer", "!!str": "string"}

// definitionsOf returns those that a schema refers to, and those that they refer to.
func definitionsOf(whole schema) (schema, error) {
	all := map[string]any{}
	if err := yaml.Unmarshal(definitionsFile, &all); err != nil {
		return nil, err
	}
	definitions := schema{}
	var faults []error
	var add func(name string)
	add = func(name string) {
		definition, found := all[name]
		if !found {
			faults = append(faults, fmt.Errorf("definitions.yaml has no %q", name))
		}
		if definitions[name] != nil {
			return
		}
		definitions[name] = definition
		references(definition, add)
	}
	references(whole, add)
	return definitions, errors.Join(faults...)
}

// references calls found with the name of each definition that a schema refers to.
func references(part any, found func(name string)) {
	switch part := part.(type) {
	case schema:
		references(map[string]any(part), found)
	case map[string]any:
		for keyword, value := range part {
			if name, ok := value.(string); ok && keyword == "$ref" {
				found(strings.TrimPrefix(name, "#/definitions/"))
			}
			references(value, found)
		}
	case []any:
		for _, value := range part {
			references(value, found)
		}
	}
}
