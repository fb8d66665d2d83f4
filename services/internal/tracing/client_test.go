package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

var someSpans = []*tracepb.ResourceSpans{{ScopeSpans: []*tracepb.ScopeSpans{{Spans: []*tracepb.Span{{Name: "a"}}}}}}

// receiver answers with each status in turn, and then with the last for ever.
func receiver(t *testing.T, statuses ...int) (url string, requests *atomic.Int32) {
	t.Helper()
	requests = new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := statuses[min(int(requests.Add(1)), len(statuses))-1]
		reader, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, err := io.ReadAll(reader)
		var data tracepb.TracesData
		if err != nil || proto.Unmarshal(body, &data) != nil || len(data.GetResourceSpans()) != 1 {
			t.Errorf("not spans: %v", err)
		}
		if r.Header.Get("Content-Encoding") != "gzip" || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("Authorization") != "secret" {
			t.Errorf("headers %v", r.Header)
		}
		if status/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

func upload(ctx context.Context, c *client) error { return c.UploadTraces(ctx, someSpans) }

func newTestClient(t *testing.T, url string) *client {
	t.Helper()
	c := newClient(Settings{URL: url, Headers: map[string]string{"authorization": "secret"}, Gzip: true})
	t.Cleanup(func() {
		c.cancel()
		_ = c.Stop(context.Background())
	})
	return c
}

func TestWhatIsTriedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		statuses []int
		requests int32
		fails    bool
	}{
		"taken":                  {[]int{200}, 1, false},
		"busy, then taken":       {[]int{503, 429, 202}, 3, false},
		"refused":                {[]int{400}, 1, true},
		"not allowed":            {[]int{401}, 1, true},
		"its own fault":          {[]int{500}, 1, true},
		"elsewhere, not gone to": {[]int{307}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := receiver(t, tc.statuses...)
			err := upload(t.Context(), newTestClient(t, url))
			if (err != nil) != tc.fails || requests.Load() != tc.requests {
				t.Errorf("%d requests, want %d; %v", requests.Load(), tc.requests, err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("a secret is in %q", err)
			}
		})
	}
}

// A collector, or a proxy before it, may say when as a date.
func TestRetryAfterIsHeeded(t *testing.T) {
	var times []time.Time
	var until time.Time
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		times = append(times, time.Now())
		if len(times) == 1 {
			until = time.Now().Add(2 * time.Second).Truncate(time.Second)
			w.Header().Set("Retry-After", until.UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	if err := upload(t.Context(), newTestClient(t, server.URL)); err != nil {
		t.Fatal(err)
	}
	if len(times) != 2 || times[1].Before(until) {
		t.Errorf("requests at %v, the second too early for %s", times, until)
	}
}

func TestNothingIsTriedAgainForLong(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if requests.Add(1) == 2 {
			cancel() // and so is never answered
			<-r.Context().Done()
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	err := upload(ctx, newTestClient(t, server.URL))
	if err == nil || !strings.Contains(err.Error(), "503") || requests.Load() != 2 {
		t.Errorf("%d requests, %v", requests.Load(), err)
	}
}

func TestLastAttemptsAreLast(t *testing.T) {
	url, requests := receiver(t, 503)
	c := newTestClient(t, url)
	c.lastAttempts()
	if err := upload(t.Context(), c); err == nil || requests.Load() != 1 {
		t.Errorf("%d last attempts, %v", requests.Load(), err)
	}
}

func TestComplaintsAreRare(t *testing.T) {
	url, _ := receiver(t, 400, 400, 400, 200, 400)
	var out bytes.Buffer
	tracing, err := Start(Settings{URL: url, Headers: map[string]string{"Authorization": "secret"}, Gzip: true, Service: "test"}, slog.New(slog.NewTextHandler(&out, nil)))
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_, span := tracing.Tracer().Start(t.Context(), "a")
		span.End()
		if err := tracing.provider.ForceFlush(t.Context()); err != nil {
			t.Errorf("a collector's refusal is an error: %v", err)
		}
	}
	tracing.Shutdown(t.Context())
	if got := strings.Count(out.String(), "can't be sent"); got != 2 {
		t.Errorf("%d complaints, want one before it worked and one after:\n%s", got, out.String())
	}
	if !strings.Contains(out.String(), "sent again\" spans_lost=3") || strings.Contains(out.String(), "secret") {
		t.Errorf("the log is\n%s", out.String())
	}
}
