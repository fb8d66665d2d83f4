package ingest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// confirming is a publisher whose broker confirms at once.
type confirming struct{}

func (confirming) Publish(context.Context, *event.Event) error                   { return nil }
func (confirming) PublishBatch(context.Context, []event.Event) error             { return nil }
func (confirming) Ready() error                                                  { return nil }
func (confirming) Refused() error                                                { return nil }
func (confirming) QueueStatus(context.Context) (s broker.QueueStatus, err error) { return s, nil }

// answerTo is a ResponseWriter that costs nothing.
type answerTo struct {
	header http.Header
	status int
}

func (a *answerTo) Header() http.Header         { return a.header }
func (a *answerTo) Write(p []byte) (int, error) { return len(p), nil }
func (a *answerTo) WriteHeader(status int)      { a.status = status }

// postTo posts one event to a handler.
func postTo(tb testing.TB) (post func()) {
	tb.Helper()
	handler := NewHandler(Config{
		Publisher: confirming{}, Parser: new(event.Parser), Log: slog.New(slog.DiscardHandler), Metrics: NewMetrics(prometheus.NewRegistry()),
	})
	const text = `{"session_id":42,"event_type":"llm_query","payload":{"model":"gpt-4","prompt_tokens":1532,"cached":false}}`
	body := bytes.NewReader([]byte(text))
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, routeLog, io.NopCloser(body))
	if err != nil {
		tb.Fatal(err)
	}
	request.ContentLength = int64(len(text))
	request.Header.Set("Content-Type", "application/json")
	answer := &answerTo{header: make(http.Header)}
	return func() {
		body.Reset([]byte(text))
		clear(answer.header)
		handler.ServeHTTP(answer, request)
		if answer.status != http.StatusAccepted {
			tb.Fatalf("status %d", answer.status)
		}
	}
}

// What a request costs beside net/http's own part and the publisher's.
func TestAllocations(t *testing.T) {
	const most = 10
	if n := testbed.Allocations(postTo(t)); n > most {
		t.Errorf("%d allocations a request, want at most %d", n, most)
	}
}

func BenchmarkPostLog(b *testing.B) {
	post := postTo(b)
	b.ReportAllocs()
	for b.Loop() {
		post()
	}
}
