package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/broker"
)

func TestStatusRoutes(t *testing.T) {
	p := new(testPublisher)
	s := start(t, p)
	away := &testPublisher{ready: errors.New("dial tcp 10.0.0.7:5672: refused")}
	down := start(t, away)
	blocked := start(t, &testPublisher{ready: fmt.Errorf("%w: %w: low on memory at 10.0.0.7", broker.ErrUnavailable, broker.ErrBlocked)})
	full := start(t, &testPublisher{full: broker.ErrRefused})
	for _, c := range []struct {
		service *service
		path    string
		status  int
		holds   string
	}{
		{s, "/", 200, `"batch":"POST /log/batch"`},
		{s, "/health", 200, `"status":"healthy","service":"producer"`},
		{s, "/queue/status", 200, `"queue_name":"log_queue","messages":7,"consumers":2,`},
		{s, "/livez", 200, `alive`},
		{s, "/readyz", 200, `"ready"`},
		{s, "/openapi.json", 200, `"openapi": "3.1.0"`},
		{down, "/health", 503, `"rabbitmq":"unavailable"`},
		{down, "/queue/status", 503, "urn:trailpost:problem:unavailable"},
		{down, "/livez", 200, `alive`},
		{down, "/readyz", 503, `not ready`},
		{blocked, "/health", 503, `"rabbitmq":"blocked","version":`},
		{blocked, "/readyz", 200, `"ready"`}, // it is the same for all replicas
		{full, "/health", 503, `"reason":"RabbitMQ refuses messages: the queue is full"`},
		{full, "/readyz", 200, `"ready"`},
	} {
		got := c.service.do(t, http.MethodGet, c.path, "")
		if got.status != c.status || !strings.Contains(got.body, c.holds) {
			t.Errorf("%s: %d %s, want %d with %s", c.path, got.status, got.body, c.status, c.holds)
		}
		if strings.Contains(got.body, "10.0.0.7") {
			t.Errorf("%s tells an address: %s", c.path, got.body)
		}
		if head := c.service.do(t, http.MethodHead, c.path, ""); head.status != c.status || head.body != "" {
			t.Errorf("HEAD %s: %d %q", c.path, head.status, head.body)
		}
	}
}

// The descriptions say what the routes do while the queue is full, as TestStatusRoutes has it.
func TestStatusDescriptions(t *testing.T) {
	var description struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct{ Description string }
		}
	}
	body := start(t, new(testPublisher)).do(t, http.MethodGet, "/openapi.json", "").body
	if err := json.Unmarshal([]byte(body), &description); err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]string{"/health": "503", "/readyz": "200"} {
		if text := description.Paths[path]["get"].Responses[status].Description; !strings.Contains(text, "full") {
			t.Errorf("%s, %s: %s", path, status, text)
		}
	}
}

// Browsers get links at /, which lead somewhere below any prefix; all others the card as ever.
func TestCardForBrowsers(t *testing.T) {
	s := start(t, new(testPublisher))
	for accept, html := range map[string]bool{
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8": true, "text/html": true,
		"": false, "*/*": false, "application/json": false, "application/json, text/plain, */*": false, "text/plain": false,
	} {
		got := s.do(t, http.MethodGet, "/", "", "Accept", accept)
		if isHTML := strings.HasPrefix(got.header.Get("Content-Type"), "text/html"); got.status != http.StatusOK || isHTML != html || got.header.Get("Vary") != "Accept" {
			t.Errorf("%q: %d %s", accept, got.status, got.header)
		}
	}
	page := s.do(t, http.MethodGet, "/", "", "Accept", "text/html").body
	links := regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) != 5 {
		t.Errorf("links %q", links)
	}
	for _, link := range links {
		if strings.Contains(link[1], ":") || strings.HasPrefix(link[1], "/") {
			t.Errorf("%s is not relative", link[1])
		} else if got := s.do(t, http.MethodGet, "/"+link[1], ""); got.status != http.StatusOK {
			t.Errorf("%s: %d", link[1], got.status)
		}
	}
}

// The page and all that it names come from here, and nothing else is asked for.
func TestDocsWorkOffline(t *testing.T) {
	s := start(t, new(testPublisher))
	page := s.do(t, http.MethodGet, "/docs", "")
	if page.status != http.StatusOK {
		t.Fatalf("%d", page.status)
	}
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "http") {
		t.Errorf("policy %s", policy)
	}
	links := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.body, -1)
	if len(links) != 5 {
		t.Errorf("links %q", links)
	}
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "javascript", ".png": "image/png", ".json": "application/json"}
	for _, link := range links {
		if strings.Contains(link[1], ":") || strings.HasPrefix(link[1], "/") {
			t.Errorf("%s is not relative", link[1])
			continue
		}
		got := s.do(t, http.MethodGet, "/"+link[1], "")
		want := types[link[1][strings.LastIndex(link[1], "."):]]
		// The library says application/javascript, which RFC 9239 calls obsolete and browsers know.
		if got.status != http.StatusOK || !strings.Contains(got.header.Get("Content-Type"), want) || got.body == "" {
			t.Errorf("%s: %d %s, %d bytes", link[1], got.status, got.header.Get("Content-Type"), len(got.body))
		}
	}
	script := s.do(t, http.MethodGet, "/docs/init.js", "").body
	if !strings.Contains(script, "validatorUrl: null") || strings.Contains(script, "://") {
		t.Errorf("the page would ask another server: %s", script)
	}
}
