package middleware

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/trailpost/trailpost/services/internal/ingest/clientlog"
	"github.com/trailpost/trailpost/services/internal/tracing"
)

// untraced are the routes that machines ask every few seconds.
var untraced = map[string]bool{"/livez": true, "/readyz": true, "/health": true, "/metrics": true}

// Trace makes a span of each request, by the conventions for HTTP servers. It leaves out the query,
// and whatever else a client sends that is not needed.
func Trace(tracer trace.Tracer) gin.HandlerFunc {
	return func(c *gin.Context) {
		path := c.FullPath()
		if untraced[path] {
			return
		}
		r := c.Request
		method := knownMethod(r.Method)
		name := method
		if method == otherMethod {
			name = "HTTP"
		}
		attributes := make([]attribute.KeyValue, 0, 8)
		attributes = append(attributes, semconv.HTTPRequestMethodKey.String(method), semconv.URLPath(text(r.URL.EscapedPath())), semconv.URLScheme(scheme(r)))
		if path != "" {
			name += " " + path
			attributes = append(attributes, semconv.HTTPRoute(path))
		}
		attributes = appendServer(attributes, r)
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...))
		defer span.End()
		c.Request = r.WithContext(ctx)
		c.Next()
		status := c.Writer.Status()
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
		if status >= http.StatusInternalServerError { // a client's fault is no error of the server's
			tracing.Fail(span, strconv.Itoa(status), "")
		}
	}
}

const otherMethod = "_OTHER"

// knownMethod keeps what clients invent out of the names of spans.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return otherMethod
}

// text returns a client's text, shortened, in valid UTF-8: OTLP knows no other, and one bad
// attribute would cost all spans that are sent with it.
func text(s string) string { return strings.ToValidUTF8(clientlog.Shorten(s), "\uFFFD") }

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// appendServer adds the name and port by which the client called.
func appendServer(attributes []attribute.KeyValue, r *http.Request) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		return append(attributes, semconv.ServerAddress(text(r.Host)))
	}
	attributes = append(attributes, semconv.ServerAddress(text(host)))
	if n, err := strconv.Atoi(port); err == nil {
		attributes = append(attributes, semconv.ServerPort(n))
	}
	return attributes
}
