package store

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// A statement outside of every trace costs nothing.
func TestTracingThatIsOffAllocatesNothing(t *testing.T) {
	ctx := t.Context()
	// As pgx holds them: the data are not on the heap for our sake.
	start, end := pgx.TraceQueryStartData{SQL: "SELECT 1"}, pgx.TraceQueryEndData{}
	var tracer statementTracer
	if n := testbed.Allocations(func() {
		tracer.TraceQueryEnd(tracer.TraceQueryStart(ctx, nil, start), nil, end)
		_, span := traceCopy(ctx, nil, 1)
		endStatement(span, nil)
	}); n != 0 {
		t.Errorf("%d allocations a statement", n)
	}
}
