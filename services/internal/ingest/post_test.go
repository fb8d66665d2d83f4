package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/ingest/clientlog"
)

func TestPostLog(t *testing.T) {
	p := new(testPublisher)
	s := start(t, p, func(o *options) { o.level = slog.LevelDebug })
	const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	got := s.do(t, http.MethodPost, "/log", `{"session_id":123,"event_type":"review_started","payload":{"password":"hunter2"}}`,
		"Content-Type", "application/json", "Traceparent", traceparent)
	if got.status != http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.body)
	}
	events := p.published()
	if len(events) != 1 || events[0].TraceParent != traceparent || string(events[0].Payload) != `{"password":"hunter2"}` {
		t.Fatalf("published %+v", events)
	}
	want := fmt.Sprintf(`{"status":"accepted","message":"The event is on the queue.","event_id":"%s","timestamp":"2026-11-24T12:00:00.123456Z"}`+"\n", events[0].ID)
	if got.body != want {
		t.Errorf("answer %s, want %s", got.body, want)
	}
	log := s.log.String()
	if !strings.Contains(log, events[0].ID.String()) || !strings.Contains(log, traceparent) {
		t.Errorf("the event is not in the log at DEBUG: %s", log)
	}
	if strings.Contains(log, "hunter2") {
		t.Error("the payload is in the log")
	}
}

func TestPostBatch(t *testing.T) {
	for contentType, body := range map[string]string{
		"application/json":     `[{"session_id":1,"event_type":"user_action"},{"session_id":2,"event_type":"user_action","paylod":{}}]`,
		"application/x-ndjson": `{"session_id":1,"event_type":"user_action"}` + "\n" + `{"session_id":2,"event_type":"user_action","paylod":{}}`,
	} {
		p := new(testPublisher)
		got := start(t, p).do(t, http.MethodPost, "/log/batch", body, "Content-Type", contentType)
		events := p.published()
		if len(events) != 2 {
			t.Fatalf("published %d events", len(events))
		}
		want := fmt.Sprintf(`{"status":"accepted","accepted":2,"event_ids":["%s","%s"],"ignored":["paylod"]}`+"\n", events[0].ID, events[1].ID)
		if got.status != http.StatusAccepted || got.body != want {
			t.Errorf("%s: %d %s, want %s", contentType, got.status, got.body, want)
		}
	}
}

func TestIgnoredMembersAreNamed(t *testing.T) {
	s := start(t, new(testPublisher))
	body := `{"session_id":1,"event_type":"user_action","paylod":{"a":1},"<i>\u001b[2J\"":1,"` + strings.Repeat("ü", 200) + `":1}`
	got := s.post(t, "/log", body)
	var answer struct{ Ignored []string }
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
		t.Fatal(err)
	}
	if want := []string{"paylod", "<i>\x1b[2J\"", strings.Repeat("ü", 100) + "…"}; !slices.Equal(answer.Ignored, want) {
		t.Errorf("ignored %q", answer.Ignored)
	}
	s.post(t, "/log", body)
	log := s.log.String()
	if n := strings.Count(log, "unknown member ignored"); n != 3 {
		t.Errorf("%d lines in the log, want one a name: %s", n, log)
	}
	if strings.Contains(log, "\x1b") || !strings.Contains(log, "level=WARNING") {
		t.Errorf("log: %q", log)
	}

	var many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, `,"m%d":1`, i)
	}
	got = s.post(t, "/log", `{"session_id":1,"event_type":"user_action"`+many.String()+`}`)
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || len(answer.Ignored) != event.MaxIgnored {
		t.Errorf("%d names, %v", len(answer.Ignored), err)
	}
	if n := strings.Count(s.log.String(), "\n"); n > clientlog.LinesAMinute {
		t.Errorf("a client made %d lines in the log", n)
	}
}

func TestUnknownTypesAreAcceptedAndCounted(t *testing.T) {
	p := new(testPublisher)
	s := start(t, p)
	for i := range 3 {
		s.post(t, "/log", `{"session_id":1,"event_type":"deploy\u202e\nlevel=ERROR"}`)
		s.post(t, "/log", fmt.Sprintf(`{"session_id":1,"event_type":"%d"}`, i))
	}
	s.post(t, "/log", good)
	if n := len(p.published()); n != 7 {
		t.Errorf("published %d", n)
	}
	log := s.log.String()
	if n := strings.Count(log, "\n"); n != 4 || strings.Contains(log, "\u202e") {
		t.Errorf("%d lines, want 4: %q", n, log)
	}
	expect := `
# HELP trailpost_events_unknown_type_total Accepted events whose event_type is not documented; the log names some.
# TYPE trailpost_events_unknown_type_total counter
trailpost_events_unknown_type_total 6
`
	if err := testutil.GatherAndCompare(s.registry, strings.NewReader(expect), "trailpost_events_unknown_type_total"); err != nil {
		t.Error(err)
	}
}

// What a publisher's failures become, and when the ids are in the answer.
func TestPublisherFailures(t *testing.T) {
	hidden := errors.New("dial tcp 10.0.0.7:5672: secret address")
	type body struct {
		Type     string
		EventID  string   `json:"event_id"`
		EventIDs []string `json:"event_ids"`
	}
	for _, c := range []struct {
		what    string
		fail    func(context.Context) error
		kind    kind
		withIDs bool
	}{
		{"unavailable", func(context.Context) error { return fmt.Errorf("%w: %w", broker.ErrUnavailable, hidden) }, kindUnavailable, false},
		{"not confirmed", func(context.Context) error { return fmt.Errorf("%w: %w", broker.ErrNotConfirmed, hidden) }, kindNotConfirmed, true},
		{"anything else", func(context.Context) error { return hidden }, kindNotConfirmed, true},
		{"no answer in time", func(context.Context) error {
			return fmt.Errorf("%w in time: %w", broker.ErrNotConfirmed, context.DeadlineExceeded)
		}, kindNotConfirmed, true},
		{"withdrawn in time", func(context.Context) error {
			return fmt.Errorf("%w: gave up: %w", broker.ErrUnavailable, context.DeadlineExceeded)
		}, kindUnavailable, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			s := start(t, &testPublisher{fail: c.fail})
			single, batch := s.post(t, "/log", good), s.post(t, "/log/batch", "["+good+","+good+"]")
			for path, got := range map[string]answer{"/log": single, "/log/batch": batch} {
				var b body
				if err := json.Unmarshal([]byte(got.body), &b); err != nil {
					t.Fatal(err)
				}
				if got.status != http.StatusServiceUnavailable || b.Type != "urn:trailpost:problem:"+c.kind.name {
					t.Errorf("%s: %d %s", path, got.status, got.body)
				}
				ids := len(b.EventIDs)
				if path == "/log" && b.EventID != "" {
					ids = 2
				}
				if (ids == 2) != c.withIDs {
					t.Errorf("%s: ids in the answer: %s, want %v", path, got.body, c.withIDs)
				}
				if strings.Contains(got.body, "secret address") {
					t.Errorf("the answer tells an address: %s", got.body)
				}
			}
			if n := testutil.ToFloat64(s.metrics.rejected.WithLabelValues(c.kind.name)); n != 3 {
				t.Errorf("%v events counted, want 3", n)
			}
			if n := strings.Count(s.log.String(), "request refused"); n != 1 {
				t.Errorf("%d lines in the log, want 1: %s", n, s.log.String())
			}
		})
	}
}

// A retry with the id of the 503 is the same event.
func TestRetryWithTheIDOfThe503(t *testing.T) {
	failed := false
	p := &testPublisher{fail: func(context.Context) error {
		if failed {
			return nil
		}
		failed = true
		return broker.ErrNotConfirmed
	}}
	s := start(t, p, func(o *options) { o.config.Parser = new(event.Parser) }) // the real clock: the id is minted by it
	var refused, accepted struct {
		EventID string `json:"event_id"`
	}
	if err := json.Unmarshal([]byte(s.post(t, "/log", good).body), &refused); err != nil {
		t.Fatal(err)
	}
	got := s.post(t, "/log", strings.TrimSuffix(good, "}")+`,"event_id":"`+refused.EventID+`"}`)
	if err := json.Unmarshal([]byte(got.body), &accepted); err != nil || accepted != refused || got.status != http.StatusAccepted {
		t.Errorf("%d %s, want the id %s (%v)", got.status, got.body, refused.EventID, err)
	}
}

func TestPanicIsA500(t *testing.T) {
	s := start(t, &testPublisher{fail: func(context.Context) error { panic("hunter2") }})
	got := s.post(t, "/log", good)
	if got.status != http.StatusInternalServerError || strings.Contains(got.body, "hunter2") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if log := s.log.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "post_test.go") {
		t.Errorf("the log has no stack: %s", log)
	}
	if used := s.budgetUsed(t); used != 0 {
		t.Errorf("%d bytes stay charged", used)
	}
	// The server goes on.
	if got := s.do(t, http.MethodGet, "/livez", ""); got.status != http.StatusOK {
		t.Errorf("%d", got.status)
	}
}

func TestMetrics(t *testing.T) {
	s := start(t, new(testPublisher))
	s.post(t, "/log", good)
	s.post(t, "/log", "{}")
	s.post(t, "/log/batch", "["+good+","+good+"]")
	s.post(t, "/log/batch", "["+good+",{},{}]")
	s.do(t, http.MethodGet, "/any/path", "")
	text := s.do(t, http.MethodGet, "/metrics", "").body
	for _, line := range []string{
		"trailpost_events_accepted_total 3",
		`trailpost_events_rejected_total{reason="invalid-event"} 3`,
		`trailpost_events_rejected_total{reason="busy"} 0`,
		`trailpost_http_request_duration_seconds_count{code="2xx",route="/log"} 1`,
		`trailpost_http_request_duration_seconds_count{code="5xx",route="/log"} 0`,
		`trailpost_http_request_duration_seconds_count{code="5xx",route="/log/batch"} 0`,
		`trailpost_http_request_duration_seconds_count{code="4xx",route="other"} 1`,
		"trailpost_memory_budget_used_bytes 0",
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(text, "any/path") {
		t.Error("a client's path is a label")
	}
	problems, err := testutil.GatherAndLint(s.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
