package operations

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// collector is where traces can be looked at: it takes OTLP/HTTP as any collector
// does, and keeps the spans.
type collector struct {
	t      *testing.T
	server *httptest.Server

	mu    sync.Mutex
	spans []span
}

// span is one, with its ids in hexadecimal.
type span struct {
	service, name, trace, id, parent string
	kind                             string
	start, end                       time.Time
	attributes                       map[string]any
	links                            []string // "trace-span"
	failed                           bool
}

func (s span) context() string { return s.trace + "-" + s.id }

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := unstartedCollector(t)
	c.server.Start()
	return c
}

func unstartedCollector(t *testing.T) *collector {
	t.Helper()
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20") // milliseconds
	c := &collector{t: t}
	c.server = httptest.NewUnstartedServer(c)
	t.Cleanup(c.server.Close)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	// The request's message is TracesData by another name.
	var data tracepb.TracesData
	if err == nil {
		err = proto.Unmarshal(body, &data)
	}
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		c.t.Errorf("%s %s %v: %v", r.Method, r.URL, r.Header, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range data.GetResourceSpans() {
		service := plain(resource.GetResource().GetAttributes())["service.name"]
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, read(service, s))
			}
		}
	}
}

func read(service any, s *tracepb.Span) span {
	name, _ := service.(string)
	r := span{
		service: name, name: s.GetName(), kind: s.GetKind().String()[len("SPAN_KIND_"):],
		trace: hex.EncodeToString(s.GetTraceId()), id: hex.EncodeToString(s.GetSpanId()), parent: hex.EncodeToString(s.GetParentSpanId()),
		start: time.Unix(0, int64(s.GetStartTimeUnixNano())), end: time.Unix(0, int64(s.GetEndTimeUnixNano())),
		attributes: plain(s.GetAttributes()),
		failed:     s.GetStatus().GetCode() == tracepb.Status_STATUS_CODE_ERROR,
	}
	for _, link := range s.GetLinks() {
		r.links = append(r.links, hex.EncodeToString(link.GetTraceId())+"-"+hex.EncodeToString(link.GetSpanId()))
	}
	return r
}

func plain(attributes []*commonpb.KeyValue) map[string]any {
	m := map[string]any{}
	for _, a := range attributes {
		switch v := a.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			m[a.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			m[a.GetKey()] = v.IntValue
		}
	}
	return m
}

// all returns the spans that have come and that match.
func (c *collector) all(match func(span) bool) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.spans), func(s span) bool { return !match(s) })
}

func named(name string) func(span) bool { return func(s span) bool { return s.name == name } }

// wait returns the n spans of a name.
func (c *collector) wait(n int, name string) []span {
	c.t.Helper()
	var found []span
	defer func() {
		if c.t.Failed() {
			for _, s := range c.all(func(span) bool { return true }) {
				c.t.Logf("%s %s %s parent %s links %d %v", s.name, s.trace, s.id, s.parent, len(s.links), s.attributes)
			}
		}
	}()
	pipeline.Within(c.t, 15*time.Second, name, func() bool {
		found = c.all(named(name))
		return len(found) >= n
	})
	if len(found) != n {
		c.t.Fatalf("%d spans %q, want %d", len(found), name, n)
	}
	return found
}

func (c *collector) one(name string) span {
	c.t.Helper()
	return c.wait(1, name)[0]
}
