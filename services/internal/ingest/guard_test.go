package ingest

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// testKeys are names by their keys; they can be replaced.
type testKeys struct {
	atomic.Pointer[map[string]string]
}

func keysOf(keys map[string]string) *testKeys {
	k := new(testKeys)
	k.Store(&keys)
	return k
}

func (k *testKeys) Name(key string) (name string, ok bool) {
	name, ok = (*k.Load())[key]
	return name, ok
}

func TestKeys(t *testing.T) {
	p := new(testPublisher)
	keys := keysOf(map[string]string{"tp_billing": "billing", "tp_shop": "shop"})
	s := start(t, p, func(o *options) { o.config.Keys = keys })
	routes := []struct{ method, path, body string }{
		{http.MethodPost, "/log", good}, {http.MethodPost, "/log/batch", "[" + good + "]"},
		{http.MethodGet, "/queue/status", ""}, {http.MethodHead, "/queue/status", ""},
	}
	var first string
	for name, headers := range map[string][]string{
		"none":               nil,
		"wrong":              {"Authorization", "Bearer tp_billing2"},
		"a part":             {"Authorization", "Bearer tp_bill"},
		"empty":              {"Authorization", ""},
		"no key":             {"Authorization", "Bearer"},
		"blank":              {"Authorization", "Bearer "},
		"basic":              {"Authorization", "Basic dHBfYmlsbGluZzo="},
		"no scheme":          {"Authorization", "tp_billing"},
		"quoted":             {"Authorization", `Bearer "tp_billing"`},
		"two":                {"Authorization", "Bearer tp_billing", "Authorization", "Bearer tp_billing"},
		"two in one":         {"Authorization", "Bearer tp_billing, Bearer tp_billing"},
		"in another header":  {"X-Api-Key", "tp_billing", "Proxy-Authorization", "Bearer tp_billing"},
		"a name":             {"Authorization", "Bearer billing"},
		"other than ASCII":   {"Authorization", "Bearer tp_billing\u00a0"},
		"longer than needed": {"Authorization", "Bearer " + strings.Repeat("x", 15<<10)},
	} {
		for _, r := range routes {
			got := s.do(t, r.method, r.path, r.body, append(headers, "Content-Type", "application/json")...)
			if got.status != http.StatusUnauthorized || got.header.Get("WWW-Authenticate") != `Bearer realm="trailpost"` {
				t.Errorf("%s: %s %s: %d %q", name, r.method, r.path, got.status, got.header.Get("WWW-Authenticate"))
			}
			if r.method == http.MethodHead {
				continue
			}
			// Nothing tells one fault from another.
			said, _, _ := strings.Cut(got.body, `,"instance"`)
			if first == "" {
				first = said
			}
			if said != first {
				t.Errorf("%s: %s %s says %s, others %s", name, r.method, r.path, said, first)
			}
		}
	}
	// The key is looked at before the body.
	if got := s.do(t, http.MethodPost, "/log", "{", "Content-Type", "image/png"); got.status != http.StatusUnauthorized {
		t.Errorf("a body of a stranger's: %d", got.status)
	}
	for path, want := range map[string]int{
		"/": 200, "/health": 200, "/livez": 200, "/readyz": 200, "/docs": 200, "/openapi.json": 200, "/metrics": 200, "/nothing": 404,
	} {
		if got := s.do(t, http.MethodGet, path, ""); got.status != want {
			t.Errorf("%s without a key: %d", path, got.status)
		}
	}
	if n := len(p.published()); n > 0 {
		t.Fatalf("published %d", n)
	}

	for _, authorization := range []string{"Bearer tp_billing", "bearer   tp_billing"} {
		for _, r := range routes {
			if got := s.do(t, r.method, r.path, r.body, "Authorization", authorization); got.status >= 300 {
				t.Errorf("%q: %s %s: %d %s", authorization, r.method, r.path, got.status, got.body)
			}
		}
	}
	// Clients can't say who they are otherwise.
	forged := strings.Replace(good, "{", `{"received_from":"admin",`, 1)
	if got := s.do(t, http.MethodPost, "/log", forged, "Authorization", "Bearer tp_shop"); !strings.Contains(got.body, `"ignored":["received_from"]`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	var from []string
	for _, e := range p.published() {
		from = append(from, e.ReceivedFrom)
	}
	if want := []string{"billing", "billing", "billing", "billing", "shop"}; !slices.Equal(from, want) {
		t.Errorf("received from %q, want %q", from, want)
	}

	keys.Store(&map[string]string{"tp_shop": "shop"})
	if got := s.do(t, http.MethodPost, "/log", good, "Authorization", "Bearer tp_billing"); got.status != http.StatusUnauthorized {
		t.Errorf("a revoked key: %d", got.status)
	}
	metrics := s.do(t, http.MethodGet, "/metrics", "").body
	if want := fmt.Sprintf("trailpost_events_rejected_total{reason=\"unauthorized\"} %d\n", 15*2+2); !strings.Contains(metrics, want) {
		t.Errorf("no %s in the metrics", want)
	}
	log := s.log.String()
	if n := strings.Count(log, `msg="client refused"`); n != 1 {
		t.Errorf("%d lines about refused clients, want one in %s:\n%s", n, refusalInterval, log)
	}
	if strings.Contains(log, "tp_") {
		t.Error("a key is in the log")
	}
}

// Keys are in no log, at no level.
func TestKeysAreNotLogged(t *testing.T) {
	s := start(t, new(testPublisher), func(o *options) {
		o.config.Keys, o.level = keysOf(map[string]string{"tp_good": "billing"}), slog.LevelDebug
	})
	for _, key := range []string{"tp_good", "tp_bad"} {
		s.do(t, http.MethodPost, "/log", good, "Authorization", "Bearer "+key)
	}
	if log := s.log.String(); strings.Contains(log, "tp_") || !strings.Contains(log, "unauthorized") {
		t.Errorf("log: %s", log)
	}
}

func TestMetricsElsewhere(t *testing.T) {
	h := NewHandler(Config{Publisher: new(testPublisher), Log: slog.New(slog.DiscardHandler), Metrics: start(t, new(testPublisher)).metrics})
	for path, want := range map[string]int{"/metrics": 404, "/": 200, "/livez": 200} {
		got := newRecorder(h, http.MethodGet, path)
		if got.Code != want || strings.Contains(got.Body.String(), "GET /metrics") {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
}

func TestRateLimit(t *testing.T) {
	p := new(testPublisher)
	s := start(t, p, func(o *options) {
		o.config.Keys = keysOf(map[string]string{"tp_billing": "billing", "tp_shop": "shop"})
		o.config.RateLimit, o.config.RateBurst = 1, 3
	})
	batch := "[" + strings.Repeat(good+",", 99) + good + "]"
	if got := s.do(t, http.MethodPost, "/log/batch", batch, "Authorization", "Bearer tp_billing"); got.status != http.StatusAccepted {
		t.Fatalf("a batch larger than the burst: %d %s", got.status, got.body)
	}
	for _, r := range []struct{ method, path, body string }{
		{http.MethodPost, "/log", good}, {http.MethodPost, "/log/batch", batch}, {http.MethodGet, "/queue/status", ""},
	} {
		got := s.do(t, r.method, r.path, r.body, "Authorization", "Bearer tp_billing")
		var seconds int
		if _, err := fmt.Sscan(got.header.Get("Retry-After"), &seconds); err != nil || seconds < 30 || seconds > 98 {
			t.Errorf("Retry-After %q; a minute and a half is owed", got.header.Get("Retry-After"))
		}
		if got.status != http.StatusTooManyRequests || !strings.Contains(got.body, "urn:trailpost:problem:rate-limited") {
			t.Errorf("%s: %d %s", r.path, got.status, got.body)
		}
	}
	if got := s.do(t, http.MethodPost, "/log", good, "Authorization", "Bearer tp_shop"); got.status != http.StatusAccepted {
		t.Errorf("another key pays for the first: %d", got.status)
	}
	// Guessing keys is limited by the address.
	var statuses []int
	for range 20 {
		statuses = append(statuses, s.do(t, http.MethodPost, "/log", good, "Authorization", "Bearer tp_guess").status)
	}
	if statuses[0] != http.StatusUnauthorized || !slices.Contains(statuses, http.StatusTooManyRequests) {
		t.Errorf("twenty guesses: %v", statuses)
	}
	if n := len(p.published()); n != 101 {
		t.Errorf("published %d, want 101", n)
	}
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/health"} {
		if got := s.do(t, http.MethodGet, path, ""); got.status != http.StatusOK {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	if metrics := s.do(t, http.MethodGet, "/metrics", "").body; !strings.Contains(metrics, `trailpost_events_rejected_total{reason="rate-limited"}`) {
		t.Error("no metric of it")
	}
}
