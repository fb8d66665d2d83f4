package main

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// marker begins an annotation: behind a value, or in lines of their own above its description.
const marker = "# @schema "

// keywords are the ones of JSON schema that an annotation may have; a misspelt one would hold
// nothing, since a validator ignores what it does not know.
var keywords = []string{
	"$ref", "additionalProperties", "enum", "exclusiveMinimum", "items", "maxLength", "maximum",
	"minItems", "minLength", "minimum", "pattern", "patternProperties", "properties",
	"propertyNames", "type", "uniqueItems",
	skipProperties,
}

// skipProperties leaves what is below an object open, whatever its default has.
const skipProperties = "skipProperties"

// annotate parses one annotation, `keyword: value; keyword: value`, into a schema. Values are
// YAML, but for patterns, which are taken as they stand.
func annotate(text string, into schema) error {
	for part := range strings.SplitSeq(text, ";") {
		keyword, value, found := strings.Cut(strings.TrimSpace(part), ":")
		value = strings.TrimSpace(value)
		if !found || !slices.Contains(keywords, keyword) {
			return fmt.Errorf("%q begins with none of %v", part, keywords)
		}
		if _, twice := into[keyword]; twice {
			return fmt.Errorf("%s is said twice", keyword)
		}
		if keyword == "pattern" || keyword == "$ref" {
			into[keyword] = value
			continue
		}
		var parsed any
		if err := yaml.Unmarshal([]byte(value), &parsed); err != nil {
			return fmt.Errorf("%s: %w", keyword, err)
		}
		if parsed == nil {
			return fmt.Errorf("%s has no value", keyword)
		}
		// YAML's null is a value; JSON schema's is the name of a type.
		if list, ok := parsed.([]any); ok && keyword == "type" {
			for i := range list {
				if list[i] == nil {
					list[i] = "null"
				}
			}
		}
		into[keyword] = parsed
	}
	return nil
}

// annotations returns those of a value: the lines above its name, and what stands behind it.
func annotations(key, value *yaml.Node) []string {
	var found []string
	for line := range strings.SplitSeq(key.HeadComment+"\n"+key.LineComment+"\n"+value.LineComment, "\n") {
		if text, ok := strings.CutPrefix(line, marker); ok {
			found = append(found, text)
		}
	}
	return found
}

// description returns a value's comment as helm-docs reads it: from `# --` on, without its
// own annotations.
func description(key *yaml.Node) string {
	_, text, found := strings.Cut(key.HeadComment, "# -- ")
	if !found {
		return ""
	}
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimPrefix(line, "# "); !strings.HasPrefix(line, "@default") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}
