package config

import (
	"maps"
	"testing"
)

func TestTracing(t *testing.T) {
	cfg := load(t, ForProducer,
		"OTEL_EXPORTER_OTLP_ENDPOINT=https://collector.example/otlp/",
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=Basic%20aGVsbG8=, x-tenant = a%2Cb,",
		"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.25",
		"OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test,service.namespace=trail",
	).Tracing
	if got, want := cfg.URL(), "https://collector.example/otlp/v1/traces"; got != want {
		t.Errorf("URL is %s, want %s", got, want)
	}
	if want := map[string]string{"authorization": "Basic aGVsbG8=", "x-tenant": "a,b"}; !maps.Equal(cfg.HeaderMap(), want) {
		t.Errorf("headers are %v, want %v", cfg.HeaderMap(), want)
	}
	if want := map[string]string{"deployment.environment.name": "test", "service.namespace": "trail"}; !maps.Equal(cfg.Resource(), want) {
		t.Errorf("resource is %v, want %v", cfg.Resource(), want)
	}
	if cfg.Ratio() != 0.25 {
		t.Errorf("ratio is %v", cfg.Ratio())
	}
}

// Other programs' settings for OpenTelemetry are no reason to refuse to start.
func TestTracingOff(t *testing.T) {
	others := []string{
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_TRACES_SAMPLER=xray", "OTEL_EXPORTER_OTLP_COMPRESSION=zstd",
		"OTEL_EXPORTER_OTLP_CERTIFICATE=/not/mounted/here", "OTEL_RESOURCE_ATTRIBUTES=?",
	}
	if load(t, ForProducer, others...).Tracing.On() {
		t.Error("tracing is on without an endpoint")
	}
	load(t, ForMigrate, append(others, "MIGRATE_DATABASE_PASSWORD=x", "DATABASE_PASSWORD=x", "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317")...)
}
