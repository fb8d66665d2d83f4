package tracing

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// flushTimeout is how much of a shutdown the last spans may take: they matter less than a pod that
// ends in time.
const flushTimeout = 3 * time.Second

// Settings say where spans go and which are made. They come from OpenTelemetry's variables, which
// package config reads and checks.
type Settings struct {
	URL     string // where traces are posted; "" turns tracing off
	Headers map[string]string
	TLS     *tls.Config   // nil: the system's authorities
	Timeout time.Duration // of one request; 0: 10 s
	Gzip    bool

	Sampler string  // a value of OTEL_TRACES_SAMPLER; "": parentbased_always_on
	Ratio   float64 // for the samplers by ratio

	Service  string            // service.name
	Version  string            // service.version
	Resource map[string]string // OTEL_RESOURCE_ATTRIBUTES, which win over our own but service.name
}

// Tracing is a running exporter of spans. A nil *Tracing is one that is off.
type Tracing struct {
	provider *sdk.TracerProvider
	client   *client
	tracer   trace.Tracer
	log      *slog.Logger
}

// Start returns nil if s names no collector. The collector need not be there.
func Start(s Settings, log *slog.Logger) (*Tracing, error) {
	if s.URL == "" {
		return nil, nil //nolint:nilnil // a nil Tracing is one that is off
	}
	name := cmp.Or(s.Sampler, defaultSampler)
	sampler, err := newSampler(name, s.Ratio)
	if err != nil {
		return nil, err
	}
	client := newClient(s)
	exporter := &throttledExporter{SpanExporter: otlptrace.NewUnstarted(client), log: log}
	t := &Tracing{client: client, log: log}
	// The library reads the environment by itself, though its values are not used, and would write
	// what is wrong there to standard error. Package config has warned of it.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Debug("OpenTelemetry's library passes over a setting", "error", err) }))
	t.provider = sdk.NewTracerProvider(
		sdk.WithBatcher(exporter), // its queue and pace are OTEL_BSP_…, which the SDK reads
		sdk.WithSampler(sampler),
		sdk.WithResource(newResource(s)),
	)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("OpenTelemetry's library has trouble", "error", err) }))
	t.tracer = tracer(t.provider)
	log.Info("traces are sent", "sampler", name)
	return t, nil
}

func newResource(s Settings) *resource.Resource {
	attributes := []attribute.KeyValue{
		semconv.ServiceVersion(s.Version),
		semconv.ServiceInstanceID(uuid.NewString()),
		semconv.TelemetrySDKLanguageGo,
		semconv.TelemetrySDKName("opentelemetry"),
		semconv.TelemetrySDKVersion(otel.Version()),
	}
	if host, err := os.Hostname(); err == nil {
		attributes = append(attributes, semconv.HostName(host)) // in a pod, the pod's name
	}
	for name, value := range s.Resource {
		attributes = append(attributes, attribute.String(name, value)) // the last of a name counts
	}
	attributes = append(attributes, semconv.ServiceName(s.Service))
	return resource.NewWithAttributes(semconv.SchemaURL, attributes...)
}

func tracer(provider trace.TracerProvider) trace.Tracer {
	return provider.Tracer("github.com/trailpost/trailpost", trace.WithSchemaURL(semconv.SchemaURL))
}

// Of returns a tracer of the provider that made the span.
func Of(span trace.Span) trace.Tracer { return tracer(span.TracerProvider()) }

// Tracer returns the tracer that makes spans; nil if t is nil.
func (t *Tracing) Tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.tracer
}

// Shutdown sends the spans that are left, until ctx ends or flushTimeout is over. Call it after the
// last span has ended.
func (t *Tracing) Shutdown(ctx context.Context) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	// The SDK's own shutdown would retry in the background after ctx has ended.
	t.client.lastAttempts()
	defer t.client.cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.Warn("the last traces were not sent", "error", err)
	}
}
