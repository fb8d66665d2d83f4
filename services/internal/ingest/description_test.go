package ingest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/event"
)

// Linters and generators of clients want to know of each operation whether it takes a key; and below
// a proxy's prefix they have to find the server.
func TestDescriptionIsWhole(t *testing.T) {
	doc := loadContract(t).doc
	if len(doc.Servers) != 1 || doc.Servers[0].URL != "." {
		t.Errorf("servers %v", doc.Servers)
	}
	if doc.Security == nil {
		t.Error("no security on the root level")
	}
	operations := 0
	for path, item := range doc.Paths {
		for method, operation := range item {
			guarded := operation.Security != nil
			if want := strings.HasPrefix(path, "/log") || path == "/queue/status"; guarded != want {
				t.Errorf("%s %s: security %s", method, path, operation.Security)
			}
			operations++
		}
	}
	if operations < 10 {
		t.Errorf("%d operations were looked at", operations)
	}
}

func TestDescriptionNamesWhatTheCodeHas(t *testing.T) {
	c := loadContract(t)
	problem := c.doc.Components.Schemas["Problem"].Properties["type"].Enum
	for _, k := range []kind{
		kindMalformed, kindBrokenBody, kindNotFound, kindMethod, kindSlowBody, kindTooLarge, kindMediaType,
		kindInvalid, kindUnauthorized, kindRateLimited, kindInternal, kindBusy, kindUnavailable, kindNotConfirmed,
	} {
		if !slices.Contains(problem, "urn:trailpost:problem:"+k.name) {
			t.Errorf("problem %s is not in openapi.json", k.name)
		}
	}
	types := "Known: " + strings.Join(event.KnownTypes(), ", ") + "."
	if text := c.doc.Components.Schemas["Event"].Properties["event_type"].Description; !strings.HasPrefix(text, types) {
		t.Errorf("event types are %s", text)
	}
}

// Every example of a request does what the description says: 202.
func TestExamplesOfTheDescriptionRun(t *testing.T) {
	s := start(t, new(testPublisher))
	ran := 0
	for path, item := range s.contract.doc.Paths {
		for contentType, media := range item["post"].RequestBody.Content {
			for name, example := range media.Examples {
				body := string(example.Value)
				var text string
				if json.Unmarshal(example.Value, &text) == nil { // lines of JSON
					body = text
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
