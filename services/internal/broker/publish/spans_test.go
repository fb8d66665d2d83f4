package publish

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// Without a tracer an event costs what it would without any of this.
func TestTracingThatIsOffAllocatesNothing(t *testing.T) {
	p := &Publisher{}
	e := &event.Event{ID: uuid.Must(uuid.NewV7()), SessionID: 1, Type: "user_action", Payload: []byte("{}")}
	refused := errors.New("refused")
	plain := testbed.Allocations(func() { newItem(e) })
	g := &group{items: []item{newItem(e)}}
	traced := testbed.Allocations(func() {
		span := p.startSendSpan(t.Context(), e, 1)
		span.item(e)
		p.startPublishSpanLocked(g)
		g.endSpan("nacked", refused)
		span.end(refused)
	})
	if traced != plain {
		t.Errorf("%d allocations an event, want %d", traced, plain)
	}
}
