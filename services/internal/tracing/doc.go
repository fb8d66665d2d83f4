// Package tracing is OpenTelemetry: [Start] begins to send spans to a collector over OTLP/HTTP, if
// one is set. Without one its [Tracing] is nil, every package's tracer is nil, and nothing is
// measured, allocated or started.
//
// The spans themselves are made in other packages: a request's in ingest, its events' way to the
// broker in broker, a batch's in drain, a statement's in store. docs/tracing.md shows how they hang
// together and which of OpenTelemetry's semantic conventions say so.
//
// The SDK and its translation to OTLP are OpenTelemetry's own. The HTTP client is ours: theirs
// (otlptracehttp) links all of gRPC, which would make the consumer 5 MB and the producer 9 MB
// larger for a POST; and it only logs a setting that it can't use, where we refuse to start.
package tracing
