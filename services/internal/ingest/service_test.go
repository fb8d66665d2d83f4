package ingest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/telemetry"
	"github.com/trailpost/trailpost/services/internal/testbed/logs"
)

// noon is the clock of the parser in tests.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)

// testPublisher is a Publisher that keeps what it gets, or fails as told.
// (Tests of the promises run against real brokers, in package app.)
type testPublisher struct {
	fail  func(context.Context) error // nil: success
	ready error
	full  error

	mu     sync.Mutex // guards below
	events []event.Event
}

func (p *testPublisher) Publish(ctx context.Context, e *event.Event) error {
	return p.PublishBatch(ctx, []event.Event{*e})
}

func (p *testPublisher) PublishBatch(ctx context.Context, events []event.Event) error {
	if p.fail != nil {
		if err := p.fail(ctx); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, events...)
	return nil
}

func (p *testPublisher) Ready() error { return p.ready }

func (p *testPublisher) Refused() error { return p.full }

func (p *testPublisher) QueueStatus(context.Context) (broker.QueueStatus, error) {
	return broker.QueueStatus{Name: "log_queue", Messages: 7, Consumers: 2}, p.ready
}

// published returns what was published so far.
func (p *testPublisher) published() []event.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]event.Event(nil), p.events...)
}

// service is the producer's HTTP side on a free port.
type service struct {
	*Server
	url      string
	client   *http.Client
	log      *logs.Buffer
	registry *prometheus.Registry
	metrics  *Metrics
	contract *contract
}

// options are what some tests change.
type options struct {
	config Config
	level  slog.Level
}

func start(t *testing.T, p Publisher, change ...func(*options)) *service {
	t.Helper()
	o := options{level: slog.LevelInfo}
	for _, f := range change {
		f(&o)
	}
	s := &service{client: &http.Client{Transport: &http.Transport{}}, log: new(logs.Buffer), registry: telemetry.NewRegistry(), contract: loadContract(t)}
	log := telemetry.NewLogger(s.log, o.level, "development", "producer")

	o.config.Publisher, o.config.Log = p, log
	s.metrics = NewMetrics(s.registry)
	o.config.Metrics, o.config.Gatherer = s.metrics, s.registry
	if o.config.Parser == nil {
		o.config.Parser = &event.Parser{Now: func() time.Time { return noon }}
	}
	o.config.Addr = "127.0.0.1:0"
	server, err := NewServer(o.config)
	if err != nil {
		t.Fatal(err)
	}
	s.Server, s.url = server, "http://"+server.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

// answer is an HTTP response, read.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request and holds the answer against openapi.json. A header with
// several values is given as several pairs.
func (s *service) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	return s.send(t, method, path, strings.NewReader(body), headers...)
}

func (s *service) send(t *testing.T, method, path string, body io.Reader, headers ...string) answer {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	s.contract.check(t, req, res, content)
	return answer{res.StatusCode, res.Header, string(content)}
}

// post sends JSON.
func (s *service) post(t *testing.T, path, body string) answer {
	t.Helper()
	return s.do(t, http.MethodPost, path, body, "Content-Type", "application/json")
}

// budgetUsed is what the metric shows.
func (s *service) budgetUsed(t *testing.T) int64 {
	t.Helper()
	return int64(testutil.ToFloat64(s.metrics.budgetUsed))
}

// waitFor waits until a condition holds, which must come by itself.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatal("the condition never held")
		}
		time.Sleep(time.Millisecond)
	}
}
