package tracing

import (
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// traceParentSize is how many bytes version 00 has: 00-<32 hex>-<16 hex>-<2 hex> (W3C Trace
// Context, 3.2). Later versions begin with the same fields.
const traceParentSize = 55

// TraceParent returns sc in the form that an event carries.
func TraceParent(sc trace.SpanContext) string {
	b := make([]byte, 0, traceParentSize)
	id, span := sc.TraceID(), sc.SpanID()
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, id[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, span[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, []byte{byte(sc.TraceFlags() & (trace.FlagsSampled | trace.FlagsRandom))})
	return string(b)
}

// ParseTraceParent parses a traceparent. The result is not valid where s is malformed.
func ParseTraceParent(s string) trace.SpanContext {
	if len(s) != traceParentSize || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" {
		return trace.SpanContext{}
	}
	var id trace.TraceID
	var span trace.SpanID
	var flags [1]byte
	if !decode(id[:], s[3:35]) || !decode(span[:], s[36:52]) || !decode(flags[:], s[53:]) {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: span, TraceFlags: trace.TraceFlags(flags[0]) & (trace.FlagsSampled | trace.FlagsRandom), Remote: true,
	})
}

// decode takes only lower case (W3C Trace Context, 3.2.2).
func decode(dst []byte, text string) bool {
	_, err := hex.Decode(dst, []byte(text))
	return err == nil && strings.ToLower(text) == text
}
