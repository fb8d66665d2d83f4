package openapi

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// The description is valid OpenAPI 3.1, its examples included.
func TestDescriptionIsValid(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromFile("../../services/internal/ingest/apidocs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("version %s", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	// It must be able to fail: an example of another type than its schema's.
	example := doc.Paths.Value("/log").Post.RequestBody.Value.Content["application/json"].Examples
	for _, e := range example {
		e.Value.Value = 7
	}
	if err := doc.Validate(t.Context()); len(example) == 0 || err == nil {
		t.Error("an event that is a number is a valid example")
	}
}
