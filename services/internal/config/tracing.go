package config

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/trailpost/trailpost/services/internal/config/values"
)

// Tracing is the exporter and the sampler of OpenTelemetry. The names, forms and meanings of the
// variables are those of its specification ("OpenTelemetry Environment Variable Specification",
// "OpenTelemetry Protocol Exporter"). Other programs in the same environment read them, too: a
// value that we don't know is warned of and ignored, as the specification asks, and keeps no event
// out. A file that can't be read is a fault.
type Tracing struct {
	Disabled           string        `env:"OTEL_SDK_DISABLED" envDefault:"false" help:"true: nothing is traced, whatever the others say."`
	Exporter           string        `env:"OTEL_TRACES_EXPORTER" envDefault:"otlp" help:"otlp, or none: nothing is traced."`
	Endpoint           string        `env:"OTEL_EXPORTER_OTLP_ENDPOINT" help:"Base URL of an OpenTelemetry collector, such as http://collector:4318, which gets traces over OTLP/HTTP; without it nothing is traced."`
	Headers            values.Secret `env:"OTEL_EXPORTER_OTLP_HEADERS" help:"Headers of requests to the collector: name=value,name=value, values percent-encoded."`
	Protocol           string        `env:"OTEL_EXPORTER_OTLP_PROTOCOL" envDefault:"http/protobuf" help:"Protocol of the collector; http/protobuf is the one there is."`
	Compression        string        `env:"OTEL_EXPORTER_OTLP_COMPRESSION" envDefault:"none" help:"Compression of requests to the collector: none or gzip."`
	Timeout            string        `env:"OTEL_EXPORTER_OTLP_TIMEOUT" envDefault:"10000" help:"Longest time of a request to the collector, in milliseconds."`
	Certificate        string        `env:"OTEL_EXPORTER_OTLP_CERTIFICATE" help:"File of the certificate authorities that may sign the collector's certificate; without it, the system's."`
	ClientCertificate  string        `env:"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE" help:"File of the client certificate for the collector."`
	ClientKey          string        `env:"OTEL_EXPORTER_OTLP_CLIENT_KEY" help:"File of the client certificate's key."`
	Sampler            string        `env:"OTEL_TRACES_SAMPLER" envDefault:"parentbased_always_on" help:"Which traces are recorded: always_on, always_off, traceidratio, or parentbased_ and one of these, which follows the client's decision where it made one."`
	SamplerArg         string        `env:"OTEL_TRACES_SAMPLER_ARG" envDefault:"1" help:"Share of the traces that the samplers by ratio record, from 0 to 1."`
	ServiceName        string        `env:"OTEL_SERVICE_NAME" help:"Name of the service in traces; without it trailpost-producer and trailpost-consumer."`
	ResourceAttributes string        `env:"OTEL_RESOURCE_ATTRIBUTES" help:"What traces tell of the process beside that: name=value,name=value, values percent-encoded."`
}

var samplers = []string{
	"always_on", "always_off", "traceidratio",
	"parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
}

// On reports whether there is a collector, and nothing that says not to use it.
func (t Tracing) On() bool {
	return t.Endpoint != "" && !strings.EqualFold(t.Disabled, "true") && t.Exporter != "none"
}

// Wait is Timeout as a duration.
func (t Tracing) Wait() time.Duration {
	ms, _ := strconv.Atoi(t.Timeout) // checked by Load
	return time.Duration(ms) * time.Millisecond
}

// URL is where traces are posted: below the endpoint, "/v1/traces".
func (t Tracing) URL() string { return strings.TrimSuffix(t.Endpoint, "/") + "/v1/traces" }

// Ratio is SamplerArg as a number.
func (t Tracing) Ratio() float64 {
	ratio, _ := strconv.ParseFloat(t.SamplerArg, 64) // checked by Load
	return ratio
}

// HeaderMap is Headers, parsed.
func (t Tracing) HeaderMap() map[string]string {
	headers, _ := parsePairs(t.Headers.Reveal()) // checked by Load
	return headers
}

// Resource is ResourceAttributes, parsed.
func (t Tracing) Resource() map[string]string {
	attributes, _ := parsePairs(t.ResourceAttributes) // checked by Load
	return attributes
}

func (l *loader) checkTracing(t *Tracing) {
	const (
		certificate       = "OTEL_EXPORTER_OTLP_CERTIFICATE"
		clientCertificate = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"
		clientKey         = "OTEL_EXPORTER_OTLP_CLIENT_KEY"
	)
	if l.binary&(ForProducer|ForConsumer) == 0 {
		return
	}
	l.known(&t.Disabled, "OTEL_SDK_DISABLED", "false", isBool, "must be true or false")
	l.known(&t.Exporter, "OTEL_TRACES_EXPORTER", "otlp", oneOf("otlp", "none"), "must be otlp or none")
	if !strings.EqualFold(t.Disabled, "true") {
		l.warnOfOthers()
	}
	if !t.On() {
		return
	}
	if problem := endpointProblem(t.Endpoint); problem != "" {
		l.warnSecret("OTEL_EXPORTER_OTLP_ENDPOINT", problem+"; nothing is traced") // it may hold a password
		t.Endpoint = ""
		return
	}
	if _, err := parseHeaders(t.Headers.Reveal()); err != nil {
		l.warnSecret("OTEL_EXPORTER_OTLP_HEADERS", err.Error()+"; it is not used")
		t.Headers = values.Secret{}
	}
	l.known(&t.Protocol, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", oneOf("http/protobuf"),
		"must be http/protobuf: a collector takes it at port 4318, beside gRPC at 4317")
	l.known(&t.Compression, "OTEL_EXPORTER_OTLP_COMPRESSION", "none", oneOf("none", "gzip"), "must be one of none, gzip")
	l.known(&t.Timeout, "OTEL_EXPORTER_OTLP_TIMEOUT", "10000", isTimeout, "must be a whole number from 1 to 600000")
	l.known(&t.Sampler, "OTEL_TRACES_SAMPLER", "parentbased_always_on", oneOf(samplers...), "must be one of "+strings.Join(samplers, ", "))
	if strings.HasSuffix(t.Sampler, "traceidratio") {
		l.known(&t.SamplerArg, "OTEL_TRACES_SAMPLER_ARG", "1", isRatio, "must be a number from 0 to 1")
	}
	if _, err := parsePairs(t.ResourceAttributes); err != nil {
		l.warn(resourceAttributes, err.Error()+"; "+sdkReadsIt)
		t.ResourceAttributes = ""
	}
	for name, path := range map[string]string{certificate: t.Certificate, clientCertificate: t.ClientCertificate, clientKey: t.ClientKey} {
		if path != "" {
			l.checkReadable(name, path)
		}
	}
	l.checkPair(clientCertificate, clientKey)
}

// warnOfOthers warns of variables of OpenTelemetry's that are not read, and would change what happens.
func (l *loader) warnOfOthers() {
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		rest, found := strings.CutPrefix(name, "OTEL_EXPORTER_OTLP_TRACES_")
		general := "OTEL_EXPORTER_OTLP_" + rest
		switch {
		case !found:
		case rest == "ENDPOINT":
			l.warnSecret(name, "is not read: set "+general+", to which /v1/traces is added")
		case slices.ContainsFunc(l.fields, func(f field) bool { return f.name == general }):
			l.warnSecret(name, "is not read: set "+general)
		default:
			l.warnSecret(name, "is not read")
		}
	}
	if l.env["OTEL_PROPAGATORS"] != "" && !strings.Contains(l.env["OTEL_PROPAGATORS"], "tracecontext") {
		l.warn("OTEL_PROPAGATORS", "is not read: traceparent (tracecontext) is used")
	}
}

// tracingSection is the section of settings that keep nobody from starting.
const tracingSection = "Tracing"

// The library of OpenTelemetry reads this one by itself, too, and can't be kept from it.
const (
	resourceAttributes = "OTEL_RESOURCE_ATTRIBUTES"
	sdkReadsIt         = "what OpenTelemetry's library can read of it is used"
)

// passOver returns the default that is used in place of a value that is blank or holds control
// characters, and warns a binary that would use it. The value may hold a password.
func (l *loader) passOver(f field) (standard string) {
	standard = f.tag.Get("envDefault")
	if l.binary&f.usedBy == 0 {
		return standard
	}
	instead := "it is not used"
	switch {
	case f.name == resourceAttributes:
		instead = sdkReadsIt
	case standard != "":
		instead = standard + " is used"
	}
	l.warnSecret(f.name, "is blank or holds control characters; "+instead)
	return standard
}

// known warns of a value that we don't know, and puts the default in its place.
func (l *loader) known(value *string, name, fallback string, ok func(string) bool, problem string) {
	if !ok(*value) {
		l.warn(name, problem+"; "+fallback+" is used")
		*value = fallback
	}
}

func oneOf(words ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(words, s) }
}

func isBool(s string) bool { return strings.EqualFold(s, "true") || strings.EqualFold(s, "false") }

func isTimeout(s string) bool {
	ms, err := strconv.Atoi(s)
	return err == nil && ms >= 1 && ms <= 600_000
}

func isRatio(s string) bool {
	ratio, err := strconv.ParseFloat(s, 64)
	return err == nil && ratio >= 0 && ratio <= 1
}

func endpointProblem(endpoint string) string {
	const want = "must be an http or https URL such as http://collector:4318"
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return want
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return want + ", without a user, a query or a fragment; a password goes into OTEL_EXPORTER_OTLP_HEADERS"
	}
	return ""
}

// parseHeaders is parsePairs, for names that HTTP takes.
func parseHeaders(text string) (map[string]string, error) {
	pairs, err := parsePairs(text)
	for name, value := range pairs {
		if strings.ContainsFunc(name, notToken) {
			return nil, errors.New("holds a name that is no header's")
		}
		if strings.ContainsFunc(value, unicode.IsControl) {
			return nil, errors.New("holds a value with control characters")
		}
	}
	return pairs, err
}

// notToken reports whether the name of a header can't hold r (RFC 9110, 5.6.2).
func notToken(r rune) bool {
	return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// parsePairs reads the list of W3C Baggage, name=value,name=value, without its properties. The
// error never quotes a value, which may be secret.
func parsePairs(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	pairs := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, encoded, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(encoded))
		name = strings.TrimSpace(name)
		if !found || name == "" || err != nil {
			return nil, errors.New("must be name=value,name=value, with %2C for a comma in a value")
		}
		pairs[name] = value
	}
	return pairs, nil
}
