package config

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
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

// What is none of ours is told, and keeps nobody from starting; nor does it show a secret.
func TestTracingWarns(t *testing.T) {
	const on = "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"
	for _, c := range []struct {
		environ []string
		on      bool
		warns   string // beginnings of the warnings, a line each
	}{
		{[]string{on}, true, ""},
		{[]string{on, "OTEL_SDK_DISABLED=TRUE"}, false, ""},
		{[]string{on, "OTEL_SDK_DISABLED=false"}, true, ""},
		{[]string{on, "OTEL_SDK_DISABLED=yes"}, true, "OTEL_SDK_DISABLED: must be true or false; false is used (got"},
		{[]string{on, "OTEL_TRACES_EXPORTER=none"}, false, ""},
		{[]string{on, "OTEL_TRACES_EXPORTER=otlp"}, true, ""},
		{[]string{on, "OTEL_TRACES_EXPORTER=zipkin"}, true, "OTEL_TRACES_EXPORTER: must be otlp or none; otlp is used (got"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317"}, false, "OTEL_EXPORTER_OTLP_ENDPOINT: must be an http or https URL"},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://user:hunter2@collector:4318"}, false, "OTEL_EXPORTER_OTLP_ENDPOINT: must be an http or https URL"},
		{[]string{on, "OTEL_EXPORTER_OTLP_HEADERS=hunter2"}, true, "OTEL_EXPORTER_OTLP_HEADERS: must be name=value"},
		{[]string{on, "OTEL_EXPORTER_OTLP_HEADERS=a b=hunter2"}, true, "OTEL_EXPORTER_OTLP_HEADERS: holds a name"},
		{
			[]string{
				on, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_COMPRESSION=zstd", "OTEL_EXPORTER_OTLP_TIMEOUT=10s",
				"OTEL_TRACES_SAMPLER=xray", "OTEL_RESOURCE_ATTRIBUTES=a=%zz",
			}, true,
			"OTEL_EXPORTER_OTLP_PROTOCOL: must be http/protobuf\nOTEL_EXPORTER_OTLP_COMPRESSION: must be one of none, gzip; none is used\n" +
				"OTEL_EXPORTER_OTLP_TIMEOUT: must be a whole number\nOTEL_TRACES_SAMPLER: must be one of always_on\nOTEL_RESOURCE_ATTRIBUTES: must be name=value",
		},
		{[]string{on, "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=NaN"}, true, "OTEL_TRACES_SAMPLER_ARG: must be a number from 0 to 1; 1 is used"},
	} {
		cfg := load(t, ForProducer, c.environ...)
		if cfg.Tracing.On() != c.on {
			t.Errorf("%q: on is %v", c.environ, cfg.Tracing.On())
		}
		var lines []string
		for _, w := range cfg.Warnings() {
			lines = append(lines, w.String())
			if strings.Contains(w.String(), "hunter2") {
				t.Errorf("%q: %s", c.environ, w)
			}
		}
		want := strings.FieldsFunc(c.warns, func(r rune) bool { return r == '\n' })
		if !slices.EqualFunc(lines, want, strings.HasPrefix) {
			t.Errorf("%q: warnings %q, want %q", c.environ, lines, want)
		}
		if got := cfg.Tracing; c.on && (got.Wait() != 10*time.Second || got.Sampler == "xray" || got.Ratio() != 1 || got.Compression != "none" || len(got.HeaderMap())+len(got.Resource()) > 0) {
			t.Errorf("%q: %+v", c.environ, got)
		}
	}
}

// A value that no program could use keeps nobody from starting either.
func TestTracingBlank(t *testing.T) {
	dir := t.TempDir()
	headers := write(t, dir, "headers", "a=b\x00")
	for _, c := range []struct {
		setting string
		on      bool
		warns   string
	}{
		{"OTEL_RESOURCE_ATTRIBUTES=a=b,\nc=d", true, "OTEL_RESOURCE_ATTRIBUTES: is blank or holds control characters; what OpenTelemetry's library can read of it is used"},
		{"OTEL_TRACES_SAMPLER= ", true, "OTEL_TRACES_SAMPLER: is blank or holds control characters; parentbased_always_on is used"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT=\t", true, "OTEL_EXPORTER_OTLP_TIMEOUT: is blank or holds control characters; 10000 is used"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT= ", false, "OTEL_EXPORTER_OTLP_ENDPOINT: is blank or holds control characters; it is not used"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://u:hunter2@c\n", false, "OTEL_EXPORTER_OTLP_ENDPOINT: must be an http or https URL"}, // trimmed
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://u:hunter2@c\n/", false, "OTEL_EXPORTER_OTLP_ENDPOINT: is blank or holds"},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE= ", true, "OTEL_EXPORTER_OTLP_CERTIFICATE: is blank or holds"},
		{"OTEL_SERVICE_NAME=\x01", true, "OTEL_SERVICE_NAME: is blank or holds"},
		{"OTEL_EXPORTER_OTLP_HEADERS_FILE=" + headers, true, "OTEL_EXPORTER_OTLP_HEADERS: holds a value with control characters; it is not used"},
	} {
		cfg := load(t, ForConsumer, "DATABASE_PASSWORD=x", "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318", c.setting)
		warnings := cfg.Warnings()
		if len(warnings) != 1 || !strings.HasPrefix(warnings[0].String(), c.warns) || strings.Contains(warnings[0].String(), "hunter2") {
			t.Errorf("%q: warnings %q, want %q", c.setting, warnings, c.warns)
		}
		if cfg.Tracing.On() != c.on || c.on && (cfg.Tracing.Sampler != "parentbased_always_on" || cfg.Tracing.Wait() != 10*time.Second) {
			t.Errorf("%q: %+v", c.setting, cfg.Tracing)
		}
	}
	for _, off := range [][]string{{"OTEL_SDK_DISABLED=true"}, {}} {
		load(t, ForProducer, append(off, "OTEL_RESOURCE_ATTRIBUTES=a=b,\nc=d", "OTEL_TRACES_SAMPLER= ")...)
	}
	if w := load(t, ForMigrate, "MIGRATE_DATABASE_PASSWORD=x", "OTEL_TRACES_SAMPLER= ").Warnings(); len(w) > 0 {
		t.Errorf("migrate, which traces nothing, warns: %q", w)
	}
}

// What OpenTelemetry has, and we don't read, is told where it would change what happens.
func TestTracingVariablesThatAreNotRead(t *testing.T) {
	for pair, want := range map[string]string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://user:secret@x/v1/traces": "is not read: set OTEL_EXPORTER_OTLP_ENDPOINT, to which /v1/traces is added",
		"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=1":                               "is not read: set OTEL_EXPORTER_OTLP_TIMEOUT",
		"OTEL_EXPORTER_OTLP_TRACES_INSECURE=true":                           "is not read",
		"OTEL_PROPAGATORS=b3":                                               `is not read: traceparent (tracecontext) is used (got "b3")`,
		"OTEL_PROPAGATORS=tracecontext,baggage":                             "",
		"OTEL_BSP_MAX_QUEUE_SIZE=9":                                         "",
	} {
		name, _, _ := strings.Cut(pair, "=")
		if want != "" {
			want = name + ": " + want
		}
		for _, disabled := range []string{"false", "true"} {
			var got string
			for _, w := range load(t, ForProducer, pair, "OTEL_SDK_DISABLED="+disabled).Warnings() {
				got += w.String()
			}
			if disabled == "true" {
				want = ""
			}
			if got != want {
				t.Errorf("%s, disabled %s: %q, want %q", name, disabled, got, want)
			}
		}
	}
}
