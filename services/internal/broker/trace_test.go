package broker

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
		sending := p.send(t.Context(), e, 1)
		sending.item(e)
		p.publish(g)
		g.endSpan("nacked", refused)
		sending.end(refused)
	})
	if traced != plain {
		t.Errorf("%d allocations an event, want %d", traced, plain)
	}
}
