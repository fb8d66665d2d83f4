package store

import (
	"context"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/trailpost/trailpost/services/internal/tracing"
)

// statementTracer makes a span of each statement whose context has a recorded span, by the
// conventions for clients of databases. The statements' parameters are events, and are never in it.
type statementTracer struct{}

type statementKey struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (statementTracer) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx
	}
	operation, _, _ := strings.Cut(strings.TrimSpace(data.SQL), " ")
	ctx, span := startStatement(ctx, parent, conn, strings.ToUpper(operation), "")
	span.SetAttributes(semconv.DBQueryText(strings.Join(strings.Fields(data.SQL), " ")))
	return context.WithValue(ctx, statementKey{}, span)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (statementTracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	if span, ok := ctx.Value(statementKey{}).(trace.Span); ok {
		endStatement(span, data.Err)
	}
}

// traceCopy begins the span of a COPY of n rows: pgx does not call its tracer for one.
func traceCopy(ctx context.Context, conn *pgx.Conn, n int) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, parent
	}
	ctx, span := startStatement(ctx, parent, conn, "COPY", "log_events")
	span.SetAttributes(semconv.DBOperationBatchSize(n))
	return ctx, span
}

func startStatement(ctx context.Context, parent trace.Span, conn *pgx.Conn, operation, table string) (context.Context, trace.Span) {
	cc := conn.Config()
	host, port := serverOf(conn, cc)
	ctx, span := tracing.Of(parent).Start(ctx, strings.TrimSpace(operation+" "+table),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			semconv.DBSystemNamePostgreSQL,
			semconv.DBNamespace(cc.Database),
			semconv.DBOperationName(operation),
			semconv.ServerAddress(host),
			semconv.ServerPort(port),
		))
	if table != "" {
		span.SetAttributes(semconv.DBCollectionName(table))
	}
	return ctx, span
}

// serverOf returns the host that is configured or, with several, the address of the connection.
func serverOf(conn *pgx.Conn, cc *pgx.ConnConfig) (host string, port int) {
	several := slices.ContainsFunc(cc.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != cc.Host || f.Port != cc.Port })
	if address, ok := conn.PgConn().Conn().RemoteAddr().(*net.TCPAddr); ok && several {
		return address.IP.String(), address.Port
	}
	return cc.Host, int(cc.Port)
}

func endStatement(span trace.Span, err error) {
	if err != nil {
		state := SQLState(err)
		if state != "" {
			span.SetAttributes(semconv.DBResponseStatusCode(state))
		} else {
			state = "connection"
		}
		tracing.Fail(span, state, err.Error())
	}
	span.End()
}
