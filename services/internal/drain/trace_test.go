package drain

import (
	"testing"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// Without a tracer a batch costs what it would without any of this.
func TestTracingThatIsOffAllocatesNothing(t *testing.T) {
	b := &batch{events: []event.Event{{TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}, count: 1}
	results := []result{{}}
	ctx := t.Context()
	var off *Tracing
	if n := testbed.Allocations(func() {
		work, span := off.startBatch(ctx, b)
		span.recordResults(results)
		_, publish := off.startPublish(work, "dead", 1)
		publish.End()
		span.end(nil)
	}); n != 0 {
		t.Errorf("%d allocations a batch", n)
	}
}
