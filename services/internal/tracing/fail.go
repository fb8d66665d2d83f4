package tracing

import (
	"strings"

	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Fail marks a span's operation as failed. errorType is a word from a short list, as the
// conventions want it; description is for people and may be "".
func Fail(span trace.Span, errorType, description string) {
	span.SetStatus(codes.Error, strings.ToValidUTF8(description, "\uFFFD")) // OTLP takes only UTF-8
	span.SetAttributes(semconv.ErrorTypeKey.String(errorType))
}
