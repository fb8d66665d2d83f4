package policy

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A URL of something else is told as such, and not as a queue that is missing.
func TestSomethingElseAnswers(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"another 404": http.NotFound,
		"a problem": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"type":"urn:trailpost:problem:not-found","status":404}`))
		},
		"a page": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
	} {
		server := httptest.NewServer(handler)
		w := NewWatcher(Config{URL: server.URL, VHost: "/", Queue: "q", Dead: "q.dead"}, slog.New(slog.DiscardHandler))
		if err := w.Read(t.Context()); !errors.Is(err, errNoAPI) || errors.Is(err, errMissing) {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
}

// A missing queue is news at a start and a warning after a while, once each; no answer "holds" where
// there never was one.
func TestWhatIsLoggedOfReadings(t *testing.T) {
	var log bytes.Buffer
	w := NewWatcher(Config{URL: "http://x"}, slog.New(slog.NewTextHandler(&log, nil)))
	missing := fmt.Errorf("queue q: %w", errMissing)
	for _, step := range []struct {
		err     error
		known   bool
		started time.Duration // before now
		says    string        // "" nothing
	}{
		{missing, false, 0, "level=INFO msg=\"policies of the broker are not known yet\""},
		{missing, false, missingPatience / 2, ""},
		{missing, false, 2 * missingPatience, "level=WARN msg=\"policies of the broker can't be read, and are not known\""},
		{missing, false, 3 * missingPatience, ""},
		{errNoAPI, false, 3 * missingPatience, "level=WARN msg=\"policies of the broker can't be read, and are not known\""},
		{nil, true, 3 * missingPatience, "level=INFO msg=\"policies of the broker are read\""},
		{missing, true, 4 * missingPatience, "level=WARN msg=\"policies of the broker can't be read; the last answer holds\""},
	} {
		log.Reset()
		w.began = time.Now().Add(-step.started)
		w.logChange(step.err, step.known)
		if got := log.String(); got == "" != (step.says == "") || !strings.Contains(got, step.says) {
			t.Errorf("%v, known %v, after %s: %q, want %q", step.err, step.known, step.started, got, step.says)
		}
	}
}
