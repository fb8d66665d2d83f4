package ingest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/ingest/apidocs"
)

// contract holds answers against openapi.json.
type contract struct {
	doc    *openapi3.T
	router routers.Router
}

func init() {
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder)
}

func loadContract(t *testing.T) *contract {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(apidocs.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	servers := doc.Servers
	doc.Servers = nil // the router knows no relative one
	router, err := gorillamux.NewRouter(doc)
	doc.Servers = servers
	if err != nil {
		t.Fatal(err)
	}
	return &contract{doc, router}
}

// Linters and generators of clients want to know of each operation whether it takes a key; and below a proxy's prefix
// they have to find the server.
func TestDescriptionIsWhole(t *testing.T) {
	doc := loadContract(t).doc
	if len(doc.Servers) != 1 || doc.Servers[0].URL != "." {
		t.Errorf("servers %v", doc.Servers)
	}
	if doc.Security == nil {
		t.Error("no security on the root level")
	}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			guarded := operation.Security != nil
			if want := strings.HasPrefix(path, "/log") || path == "/queue/status"; guarded != want {
				t.Errorf("%s %s: security %v", method, path, operation.Security)
			}
		}
	}
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
	route, parameters, err := c.router.FindRoute(req)
	if err != nil { // no such path or method: a problem, and described once for all
		if strings.HasPrefix(req.URL.Path, "/docs/") && res.StatusCode == http.StatusOK {
			return // the page's parts
		}
		c.checkProblem(t, res, body)
		return
	}
	err = openapi3filter.ValidateResponse(req.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: parameters, Route: route},
		Status:                 res.StatusCode,
		Header:                 res.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		t.Errorf("%s %s: the answer %d is not as openapi.json says: %v", req.Method, req.URL.Path, res.StatusCode, err)
	}
}

func (c *contract) checkProblem(t *testing.T, res *http.Response, body []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		t.Errorf("%d %q: %v", res.StatusCode, body, err)
		return
	}
	if err := c.doc.Components.Schemas["Problem"].Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		t.Error(err)
	}
	if got := res.Header.Get("Content-Type"); got != problemType {
		t.Errorf("content type %s", got)
	}
}

func TestOpenAPIIsValid(t *testing.T) {
	c := loadContract(t)
	if !c.doc.IsOpenAPI31OrLater() {
		t.Errorf("version %s", c.doc.OpenAPI)
	}
	// This includes the examples.
	if err := c.doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

// The validator must be able to fail, or all tests that use it say nothing.
func TestOpenAPIRefuses(t *testing.T) {
	c := loadContract(t)
	for name, value := range map[string]string{
		"no detail":        `{"type":"urn:trailpost:problem:busy","title":"x","status":503,"instance":"urn:uuid:0ee5f3c8-7b3a-4b57-9d0c-5f1f0a1b2c3d"}`,
		"unknown type":     `{"type":"about:blank","title":"x","status":503,"detail":"x","instance":"urn:uuid:0ee5f3c8-7b3a-4b57-9d0c-5f1f0a1b2c3d"}`,
		"unknown member":   `{"type":"urn:trailpost:problem:busy","title":"x","status":503,"detail":"x","instance":"urn:uuid:0ee5f3c8-7b3a-4b57-9d0c-5f1f0a1b2c3d","x":1}`,
		"event_id no UUID": `{"type":"urn:trailpost:problem:busy","title":"x","status":503,"detail":"x","instance":"urn:uuid:0ee5f3c8-7b3a-4b57-9d0c-5f1f0a1b2c3d","event_id":"7"}`,
	} {
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			t.Fatal(err)
		}
		if err := c.doc.Components.Schemas["Problem"].Value.VisitJSON(v, openapi3.EnableJSONSchema2020()); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestOpenAPINamesWhatTheCodeHas(t *testing.T) {
	c := loadContract(t)
	problem := c.doc.Components.Schemas["Problem"].Value.Properties["type"].Value.Enum
	for _, k := range []kind{
		kindMalformed, kindBrokenBody, kindNotFound, kindMethod, kindSlowBody, kindTooLarge, kindMediaType,
		kindInvalid, kindUnauthorized, kindRateLimited, kindInternal, kindBusy, kindUnavailable, kindNotConfirmed,
	} {
		if !slices.Contains(problem, any("urn:trailpost:problem:"+k.name)) {
			t.Errorf("problem %s is not in openapi.json", k.name)
		}
	}
	types := "Known: " + strings.Join(event.KnownTypes(), ", ") + "."
	if text := c.doc.Components.Schemas["Event"].Value.Properties["event_type"].Value.Description; !strings.HasPrefix(text, types) {
		t.Errorf("event types are %s", text)
	}
}

// Every example of a request does what the description says: 202.
func TestOpenAPIExamplesRun(t *testing.T) {
	s := start(t, new(testPublisher))
	ran := 0
	for path, item := range s.contract.doc.Paths.Map() {
		if item.Post == nil {
			continue
		}
		for contentType, media := range item.Post.RequestBody.Value.Content {
			for name, example := range media.Examples {
				body, isText := example.Value.Value.(string)
				if !isText {
					text, err := json.Marshal(example.Value.Value)
					if err != nil {
						t.Fatal(err)
					}
					body = string(text)
				}
				if got := s.do(t, http.MethodPost, path, body, "Content-Type", contentType); got.status != http.StatusAccepted || strings.Contains(got.body, "ignored") {
					t.Errorf("%s, example %s: %d %s", path, name, got.status, got.body)
				}
				ran++
			}
		}
	}
	if ran != 5 {
		t.Errorf("%d examples ran, want 5", ran)
	}
}
