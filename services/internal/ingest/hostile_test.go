package ingest

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/test/golden"
)

const good = `{"session_id":1,"event_type":"user_action"}`

// Every request here is wrong, most on purpose. The status is exact, the whole
// answer is in the golden file, and nothing of it may be published.
func TestHostileRequests(t *testing.T) {
	p := new(testPublisher)
	s := start(t, p)

	with := func(members string) string { return `{"session_id":1,"event_type":"t",` + members + `}` }
	const (
		json  = "application/json"
		lines = "application/x-ndjson"
	)
	var out strings.Builder
	instance := regexp.MustCompile(`urn:uuid:[0-9a-f-]{36}`)
	for i, c := range []struct {
		what, method, path string
		headers            []string
		body               string
		status             int
	}{
		// Not JSON.
		{"nothing", "POST", "/log", []string{"Content-Type", json}, "", 400},
		{"only space", "POST", "/log", []string{"Content-Type", json}, " \n", 400},
		{"unfinished", "POST", "/log", []string{"Content-Type", json}, `{"session_id":1`, 400},
		{"single quotes", "POST", "/log", []string{"Content-Type", json}, `{'session_id':1}`, 400},
		{"trailing comma", "POST", "/log", []string{"Content-Type", json}, `{"session_id":1,}`, 400},
		{"NaN", "POST", "/log", []string{"Content-Type", json}, with(`"payload":{"a":NaN}`), 400},
		{"leading zero", "POST", "/log", []string{"Content-Type", json}, `{"session_id":01}`, 400},
		{"a comment", "POST", "/log", []string{"Content-Type", json}, `{/* x */}`, 400},
		{"a byte order mark", "POST", "/log", []string{"Content-Type", json}, "\ufeff" + good, 400},
		{"XML", "POST", "/log", []string{"Content-Type", json}, `<?xml version="1.0"?>`, 400},
		{"unfinished array", "POST", "/log/batch", []string{"Content-Type", json}, "[" + good, 400},

		// JSON, but no event.
		{"array", "POST", "/log", []string{"Content-Type", json}, "[" + good + "]", 422},
		{"null", "POST", "/log", []string{"Content-Type", json}, "null", 422},
		{"empty object", "POST", "/log", []string{"Content-Type", json}, "{}", 422},
		{"two objects", "POST", "/log", []string{"Content-Type", json}, good + good, 422},
		{"trailing bytes", "POST", "/log", []string{"Content-Type", json}, good + "x", 422},
		{"bad UTF-8", "POST", "/log", []string{"Content-Type", json}, with("\"payload\":{\"a\":\"\xff\"}"), 422},
		{"doubled name", "POST", "/log", []string{"Content-Type", json}, with(`"session_id":2`), 422},
		{"doubled name below", "POST", "/log", []string{"Content-Type", json}, with(`"payload":{"a":1,"a":2}`), 422},
		{"NUL", "POST", "/log", []string{"Content-Type", json}, with(`"payload":{"a":"\u0000"}`), 422},
		{"lone surrogate", "POST", "/log", []string{"Content-Type", json}, with(`"payload":{"a":"\ud800"}`), 422},
		{"huge exponent", "POST", "/log", []string{"Content-Type", json}, with(`"payload":{"a":1e131072}`), 422},
		{"65 deep", "POST", "/log", []string{"Content-Type", json}, with(`"payload":{"a":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`), 422},
		{"100,000 deep", "POST", "/log", []string{"Content-Type", json}, strings.Repeat("[", 100_000), 422},
		{"payload as text", "POST", "/log", []string{"Content-Type", json}, with(`"payload":"{}"`), 422},
		{"session as text", "POST", "/log", []string{"Content-Type", json}, `{"session_id":"one","event_type":"t"}`, 422},
		{"session zero", "POST", "/log", []string{"Content-Type", json}, `{"session_id":0,"event_type":"t"}`, 422},
		{"session beyond bigint", "POST", "/log", []string{"Content-Type", json}, `{"session_id":9223372036854775808,"event_type":"t"}`, 422},
		{"type of 101 characters", "POST", "/log", []string{"Content-Type", json}, `{"session_id":1,"event_type":"` + strings.Repeat("é", 101) + `"}`, 422},
		{"name of two characters", "POST", "/log", []string{"Content-Type", json}, with(`"username":"ab"`), 422},
		{"30 February", "POST", "/log", []string{"Content-Type", json}, with(`"timestamp":"2026-02-30T00:00:00Z"`), 422},
		{"id of version 4", "POST", "/log", []string{"Content-Type", json}, with(`"event_id":"5f0c2e9a-3b1d-4c8e-9f7a-1234567890ab"`), 422},
		{"id from 1970", "POST", "/log", []string{"Content-Type", json}, with(`"event_id":"00000000-0000-7000-8000-000000000000"`), 422},
		{"id from 10889", "POST", "/log", []string{"Content-Type", json}, with(`"event_id":"ffffffff-ffff-7fff-bfff-ffffffffffff"`), 422},
		{"everything wrong", "POST", "/log", []string{"Content-Type", json}, `{"session_id":-1,"event_type":"","username":1,"payload":[],"timestamp":"now","event_id":"x"}`, 422},
		{"HTML in a name", "POST", "/log", []string{"Content-Type", json}, with(`"<script>\u001b[2J":1,"<script>\u001b[2J":2`), 422},

		// Batches.
		{"object for an array", "POST", "/log/batch", []string{"Content-Type", json}, good, 422},
		{"empty array", "POST", "/log/batch", []string{"Content-Type", json}, "[]", 422},
		{"no lines", "POST", "/log/batch", []string{"Content-Type", lines}, "\n\n", 422},
		{"lines as JSON", "POST", "/log/batch", []string{"Content-Type", json}, good + "\n" + good, 422},
		{"bad lines among good", "POST", "/log/batch", []string{"Content-Type", lines}, good + "\n{}\n" + good + "\n{\n", 422},
		{"one id twice", "POST", "/log/batch", []string{"Content-Type", json}, "[" + with(`"event_id":"01a20d6d-5a00-7abc-8def-0123456789ab"`) + "," + with(`"event_id":"01A20D6D-5A00-7ABC-8DEF-0123456789AB"`) + "]", 422},
		{"10,001 events", "POST", "/log/batch", []string{"Content-Type", lines}, strings.Repeat(good+"\n", event.MaxBatchEvents+1), 422},

		// Headers.
		{"a form", "POST", "/log", []string{"Content-Type", "application/x-www-form-urlencoded"}, good, 415},
		{"text", "POST", "/log", []string{"Content-Type", "text/plain"}, good, 415},
		{"lines for one event", "POST", "/log", []string{"Content-Type", lines}, good, 415},
		{"Latin-1", "POST", "/log", []string{"Content-Type", "application/json; charset=iso-8859-1"}, good, 415},
		{"broken content type", "POST", "/log", []string{"Content-Type", "application/json; charset"}, good, 415},
		{"two content types", "POST", "/log", []string{"Content-Type", json, "Content-Type", "text/plain"}, good, 415},
		{"gzip", "POST", "/log", []string{"Content-Type", json, "Content-Encoding", "gzip"}, "\x1f\x8b", 415},
		{"identity, then gzip", "POST", "/log/batch", []string{"Content-Encoding", "identity", "Content-Encoding", "br"}, "[]", 415},

		// Sizes.
		{"one byte over 256 KiB", "POST", "/log", []string{"Content-Type", json}, strings.Repeat(" ", event.MaxEventBytes+1), 413},
		{"one byte over 16 MiB", "POST", "/log/batch", []string{"Content-Type", json}, strings.Repeat(" ", event.MaxBatchBytes+1), 413},

		// Places.
		{"nowhere", "GET", "/nowhere", nil, "", 404},
		{"a slash too many", "POST", "/log/", []string{"Content-Type", json}, good, 404},
		{"two slashes", "POST", "//log", []string{"Content-Type", json}, good, 404},
		{"other case", "POST", "/LOG", []string{"Content-Type", json}, good, 404},
		{"out of the docs", "GET", "/docs/..%2f..%2fetc%2fpasswd", nil, "", 404},
		{"a source map", "GET", "/docs/swagger-ui.css.map", nil, "", 404},
		{"the profiler", "GET", "/debug/pprof/", nil, "", 404},
		{"GET of POST", "GET", "/log", nil, "", 405},
		{"DELETE", "DELETE", "/log/batch", nil, "", 405},
		{"TRACE", "TRACE", "/log", nil, "", 405},
		{"POST of GET", "POST", "/health", []string{"Content-Type", json}, good, 405},
		{"a method of one's own", "EVIL\u007e", "/log", nil, "", 405},
	} {
		got := s.do(t, c.method, c.path, c.body, c.headers...)
		if got.status != c.status {
			t.Errorf("%d, %s: status %d, want %d: %s", i, c.what, got.status, c.status, got.body)
		}
		fmt.Fprintf(&out, "# %s\n%s", c.what, instance.ReplaceAllString(got.body, "urn:uuid:…"))
	}
	golden.File(t, "hostile.txt", out.String())
	if events := p.published(); len(events) > 0 {
		t.Errorf("published %d events", len(events))
	}
	if log := s.log.String(); log != "" {
		t.Errorf("clients' faults fill the log: %s", log)
	}
}

// What looks odd but is right.
func TestAcceptedRequests(t *testing.T) {
	s := start(t, new(testPublisher))
	for _, c := range []struct {
		what, path string
		headers    []string
		body       string
	}{
		{"no content type", "/log", nil, good},
		{"empty content type", "/log", []string{"Content-Type", " "}, good},
		{"charset", "/log", []string{"Content-Type", "application/json; charset=UTF-8"}, good},
		{"other parameters", "/log", []string{"Content-Type", "Application/JSON ; profile=x"}, good},
		{"identity", "/log", []string{"Content-Encoding", "Identity"}, good},
		{"just 256 KiB", "/log", nil, good + strings.Repeat(" ", event.MaxEventBytes-len(good))},
		{"just 16 MiB", "/log/batch", nil, "[" + good + "]" + strings.Repeat(" ", event.MaxBatchBytes-len(good)-2)},
		{"ndjson", "/log/batch", []string{"Content-Type", "application/ndjson"}, good},
		{"jsonl", "/log/batch", []string{"Content-Type", "application/jsonl; charset=utf-8"}, good + "\r\n\r\n" + good},
		{"a query", "/log?x=y", nil, good},
		{"10,000 events", "/log/batch", []string{"Content-Type", "application/x-ndjson"}, strings.Repeat(good+"\n", event.MaxBatchEvents)},
	} {
		if got := s.do(t, http.MethodPost, c.path, c.body, c.headers...); got.status != http.StatusAccepted {
			t.Errorf("%s: %d %.300s", c.what, got.status, got.body)
		}
	}
}
