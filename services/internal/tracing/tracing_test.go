package tracing

import (
	"bytes"
	"context"
	"errors"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func TestOff(t *testing.T) {
	off, err := Start(Settings{}, slog.Default())
	if off != nil || err != nil {
		t.Fatalf("got %v, %v", off, err)
	}
	if off.Tracer() != nil || off.Logger(slog.Default()) != slog.Default() {
		t.Error("what is off has a tracer or a logger of its own")
	}
	off.Shutdown(t.Context())
}

func TestTraceParent(t *testing.T) {
	const sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	sc := ParseTraceParent(sampled)
	if !sc.IsValid() || !sc.IsSampled() || !sc.IsRemote() || TraceParent(sc) != sampled {
		t.Errorf("%+v, %s", sc, TraceParent(sc))
	}
	if sc := ParseTraceParent(sampled[:53] + "00"); !sc.IsValid() || sc.IsSampled() {
		t.Errorf("not sampled: %+v", sc)
	}
	if sc := ParseTraceParent("cc" + sampled[2:53] + "ff"); !sc.IsValid() || TraceParent(sc)[53:] != "03" {
		t.Errorf("a later version, with flags that nobody knows yet: %s", TraceParent(sc))
	}
	for _, wrong := range []string{
		"", "00", sampled + "-x", "ff" + sampled[2:], strings.Replace(sampled, "-", "_", 1), strings.Replace(sampled, "0af", "0ag", 1),
		"00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
	} {
		if ParseTraceParent(wrong).IsValid() {
			t.Errorf("%q is taken for one", wrong)
		}
	}
}

// A batch is in a trace if one of its events is.
func TestSamplers(t *testing.T) {
	recorded := ParseTraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	skipped := recorded.WithTraceFlags(0)
	parents := []trace.SpanContext{{}, recorded, skipped}
	for name, want := range map[string]string{ // without a parent, by a recorded one, by one that is not; then as links
		"":                         "+ + - + +",
		"always_on":                "+ + + + +",
		"always_off":               "- - - - -",
		"traceidratio":             "- - - - -",
		"parentbased_always_on":    "+ + - + +",
		"parentbased_always_off":   "- + - + -",
		"parentbased_traceidratio": "- + - + -",
	} {
		sampler, err := newSampler(name, 0)
		if name == "" {
			sampler, err = newSampler(defaultSampler, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		decide := func(p sdk.SamplingParameters) {
			p.TraceID = recorded.TraceID()
			sign := "-"
			if sampler.ShouldSample(p).Decision == sdk.RecordAndSample {
				sign = "+"
			}
			got = append(got, sign)
		}
		for _, parent := range parents {
			decide(sdk.SamplingParameters{ParentContext: trace.ContextWithSpanContext(t.Context(), parent)})
		}
		for _, link := range parents[1:] {
			decide(sdk.SamplingParameters{ParentContext: t.Context(), Links: []trace.Link{{SpanContext: skipped}, {SpanContext: link}}})
		}
		if wants := strings.Fields(want); !slices.Equal(got, wants) {
			t.Errorf("%q: %v, want %v", name, got, wants)
		}
	}
	if _, err := newSampler("xray", 1); err == nil {
		t.Error("any name is a sampler")
	}
}

func TestLogLinesNameTheirTrace(t *testing.T) {
	var out bytes.Buffer
	on := &Tracing{}
	logger := on.Logger(slog.New(slog.NewTextHandler(&out, nil))).With("service", "test")
	sc := ParseTraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	logger.InfoContext(trace.ContextWithSpanContext(t.Context(), sc), "in a trace")
	logger.Info("in none")
	lines := strings.Split(out.String(), "\n")
	if !strings.HasSuffix(lines[0], "service=test trace_id=0af7651916cd43dd8448eb211c80319c span_id=b7ad6b7169203331") || strings.Contains(lines[1], "trace_id") {
		t.Errorf("got\n%s", out.String())
	}
}

// OpenTelemetry's library has no lines of its own on standard error: its words are the log's.
func TestTheLibrarySpeaksInTheLog(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "jaeger_remote")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "a")
	var raw, told bytes.Buffer
	log.SetOutput(&raw)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	on, err := Start(Settings{URL: "http://localhost:1/v1/traces", Service: "test"}, slog.New(slog.NewTextHandler(&told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { on.Shutdown(context.Background()) })
	if raw.Len() > 0 || strings.Contains(told.String(), "level=WARN") { // package config has warned of both
		t.Errorf("standard error: %q, the log: %q", raw.String(), told.String())
	}
	otel.Handle(errors.New("of later"))
	if raw.Len() > 0 || !strings.Contains(told.String(), "of later") {
		t.Errorf("standard error: %q, the log: %q", raw.String(), told.String())
	}
}
