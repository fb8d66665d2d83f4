package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/trailpost/trailpost/services/internal/ingest/apidocs"
)

// contract holds answers against openapi.json. Schemas of OpenAPI 3.1 are those of JSON Schema, so
// that each is compiled where it stands. That the description is a valid one is test/openapi's.
type contract struct {
	doc description

	mu      sync.Mutex // tests send requests at once
	schemas *jsonschema.Compiler
}

// description is what of openapi.json the tests look at.
type description struct {
	Servers    []struct{ URL string }
	Security   json.RawMessage
	Paths      map[string]map[string]operation // by path and method, in small letters
	Components struct {
		Schemas map[string]struct {
			Properties map[string]struct {
				Enum        []string
				Description string
			}
		}
		Responses map[string]response
		Headers   map[string]header
	}
}

type operation struct {
	Security    json.RawMessage
	RequestBody struct {
		Content map[string]struct {
			Examples map[string]struct{ Value json.RawMessage }
		}
	}
	Responses map[string]response // by status
}

type response struct {
	Ref     string `json:"$ref"`
	Headers map[string]header
	Content map[string]any // by media type
}

type header struct {
	Ref      string `json:"$ref"`
	Required bool
	Schema   struct{ Type string }
}

func loadContract(t *testing.T) *contract {
	t.Helper()
	c := &contract{schemas: jsonschema.NewCompiler()}
	if err := json.Unmarshal(apidocs.OpenAPI(), &c.doc); err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(apidocs.OpenAPI()))
	if err != nil {
		t.Fatal(err)
	}
	c.schemas.AssertFormat()
	if err := c.schemas.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return c
}

// check fails the test for an answer that openapi.json does not describe.
func (c *contract) check(t *testing.T, req *http.Request, res *http.Response, body []byte) {
	t.Helper()
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	if req.Method == http.MethodHead || req.Method == http.MethodOptions && res.StatusCode == http.StatusNoContent && len(body) == 0 {
		return // the latter is a browser's question
	}
	method := strings.ToLower(req.Method)
	described, found := c.doc.Paths[req.URL.Path][method]
	if !found { // no such path or method: a problem, and described once for all
		if strings.HasPrefix(req.URL.Path, "/docs/") && res.StatusCode == http.StatusOK {
			return // the page's parts
		}
		c.checkProblem(t, res, body)
		return
	}
	status := strconv.Itoa(res.StatusCode)
	answer, found := described.Responses[status]
	if !found {
		t.Errorf("%s %s: openapi.json has no answer %s", req.Method, req.URL.Path, status)
		return
	}
	place := "#/paths/" + escape(req.URL.Path) + "/" + method + "/responses/" + status
	if answer.Ref != "" {
		place = answer.Ref
		answer = c.doc.Components.Responses[answer.Ref[strings.LastIndex(answer.Ref, "/")+1:]]
	}
	if err := c.checkAnswer(place, answer, res.Header, body); err != nil {
		t.Errorf("%s %s: the answer %s is not as openapi.json says: %v", req.Method, req.URL.Path, status, err)
	}
}

// checkAnswer holds headers and body against what stands at a place of the description.
func (c *contract) checkAnswer(place string, want response, headers http.Header, body []byte) error {
	for name, header := range want.Headers {
		at := place + "/headers/" + escape(name)
		if header.Ref != "" {
			at = header.Ref
			header = c.doc.Components.Headers[header.Ref[strings.LastIndex(header.Ref, "/")+1:]]
		}
		text := headers.Get(name)
		if text == "" {
			if header.Required {
				return fmt.Errorf("no header %s", name)
			}
			continue
		}
		var value any = text
		if header.Schema.Type == "integer" {
			value = json.Number(text)
		}
		if err := c.validate(at+"/schema", value); err != nil {
			return fmt.Errorf("header %s: %w", name, err)
		}
	}
	mediaType, _, err := mime.ParseMediaType(headers.Get("Content-Type"))
	if err != nil {
		return err
	}
	if _, found := want.Content[mediaType]; !found {
		return fmt.Errorf("content type %s", mediaType)
	}
	var value any = string(body)
	if strings.HasSuffix(mediaType, "json") {
		if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(body)); err != nil {
			return err
		}
	}
	return c.validate(place+"/content/"+escape(mediaType)+"/schema", value)
}

// validate holds a value against the schema at a place of the description.
func (c *contract) validate(place string, value any) error {
	c.mu.Lock()
	schema, err := c.schemas.Compile("openapi.json" + place)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// escape is a key as a part of a JSON pointer.
func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }

func (c *contract) checkProblem(t *testing.T, res *http.Response, body []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Errorf("%d %q: %v", res.StatusCode, body, err)
		return
	}
	if err := c.validate(problemSchema, value); err != nil {
		t.Error(err)
	}
	if got := res.Header.Get("Content-Type"); got != problemType {
		t.Errorf("content type %s", got)
	}
}

const problemSchema = "#/components/schemas/Problem"

// The checks must be able to fail, or all tests that use them say nothing.
func TestContractRefuses(t *testing.T) {
	c := loadContract(t)
	for name, value := range map[string]string{
		"no detail":        `{"type":"urn:trailpost:problem:busy","title":"x","status":503,"instance":"urn:uuid:0ee5f3c8-7b3a-4b57-9d0c-5f1f0a1b2c3d"}`,
		"unknown type":     `{"type":"about:blank","title":"x","status":503,"detail":"x","instance":"urn:uuid:0ee5f3c8-7b3a-4b57-9d0c-5f1f0a1b2c3d"}`,
		"unknown member":   `{"type":"urn:trailpost:problem:busy","title":"x","status":503,"detail":"x","instance":"urn:uuid:0ee5f3c8-7b3a-4b57-9d0c-5f1f0a1b2c3d","x":1}`,
		"event_id no UUID": `{"type":"urn:trailpost:problem:busy","title":"x","status":503,"detail":"x","instance":"urn:uuid:0ee5f3c8-7b3a-4b57-9d0c-5f1f0a1b2c3d","event_id":"7"}`,
	} {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(value))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.validate(problemSchema, v); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	const whole = `{"type":"urn:trailpost:problem:busy","title":"x","status":503,"detail":"x","instance":"urn:uuid:0ee5f3c8-7b3a-4b57-9d0c-5f1f0a1b2c3d"}`
	unavailable := c.doc.Components.Responses["Unavailable"]
	for name, headers := range map[string]http.Header{
		"":                      {"Content-Type": {problemType}, "Retry-After": {"1"}},
		"no Retry-After":        {"Content-Type": {problemType}},
		"a Retry-After of 6":    {"Content-Type": {problemType}, "Retry-After": {"6"}},
		"a Retry-After of soon": {"Content-Type": {problemType}, "Retry-After": {"soon"}},
		"another content type":  {"Content-Type": {"text/plain"}, "Retry-After": {"1"}},
		"no content type":       {"Retry-After": {"1"}},
	} {
		err := c.checkAnswer("#/components/responses/Unavailable", unavailable, headers, []byte(whole))
		if (err == nil) != (name == "") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
