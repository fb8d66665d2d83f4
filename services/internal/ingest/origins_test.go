package ingest

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// A browser asks first, and then reads answers only where their headers let it.
func TestOrigins(t *testing.T) {
	const ours, others = "https://app.example.org", "https://evil.example.org"
	s := start(t, new(testPublisher), func(o *options) {
		o.config.Origins = []string{ours, "http://localhost:3000"}
		o.config.Keys = keysOf(map[string]string{"tp_good": "good"})
	})
	preflight := func(s *service, origin, header string) answer {
		return s.do(t, http.MethodOptions, "/log", "", "Origin", origin, "Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", header)
	}
	for _, c := range []struct {
		origin, header string
		allowed        bool
	}{
		{ours, "authorization,content-type", true}, {"http://localhost:3000", "content-type,traceparent", true},
		{others, "content-type", false}, {"https://app.example.org.evil.org", "content-type", false}, {"null", "content-type", false},
		{"http://app.example.org", "content-type", false}, {ours, "x-other", false},
	} {
		got := preflight(s, c.origin, c.header)
		if allowed := got.header.Get("Access-Control-Allow-Origin") == c.origin && strings.EqualFold(got.header.Get("Access-Control-Allow-Headers"), c.header); allowed != c.allowed {
			t.Errorf("%s, %s: %d %v", c.origin, c.header, got.status, got.header)
		}
	}
	for origin, want := range map[string]string{ours: ours, others: "", "": ""} {
		for key, status := range map[string]int{"tp_good": 202, "tp_bad": 401} {
			got := s.do(t, http.MethodPost, "/log", good, "Origin", origin, "Authorization", "Bearer "+key)
			if got.status != status || got.header.Get("Access-Control-Allow-Origin") != want || !strings.Contains(got.header.Get("Vary"), "Origin") {
				t.Errorf("%s from %q: %d %v", key, origin, got.status, got.header)
			}
			if exposed := got.header.Get("Access-Control-Expose-Headers"); want != "" && !strings.Contains(exposed, "Retry-After") {
				t.Errorf("exposed: %q", exposed)
			}
			if got.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("cookies are allowed")
			}
		}
	}
	// By default nobody's.
	off := start(t, new(testPublisher))
	if got := preflight(off, ours, "content-type"); got.status != http.StatusMethodNotAllowed || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("off: %d %v", got.status, got.header)
	}
}

// Load balancers must be the first to end a connection.
func TestIdleTimeout(t *testing.T) {
	s := start(t, new(testPublisher))
	if got := s.http.IdleTimeout; got <= 600*time.Second {
		t.Errorf("by default %s", got)
	}
	if got := start(t, new(testPublisher), func(o *options) { o.config.IdleTimeout = time.Second }).http.IdleTimeout; got != time.Second {
		t.Errorf("set: %s", got)
	}
}
