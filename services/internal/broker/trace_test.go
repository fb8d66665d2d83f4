package broker

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event"
)

// Without a tracer an event costs what it would without any of this.
func TestTracingThatIsOffAllocatesNothing(t *testing.T) {
	p := &Publisher{}
	e := &event.Event{ID: uuid.Must(uuid.NewV7()), SessionID: 1, Type: "user_action", Payload: []byte("{}")}
	refused := errors.New("refused")
	plain := testing.AllocsPerRun(1000, func() { newItem(e) })
	g := &group{items: []item{newItem(e)}}
	traced := testing.AllocsPerRun(1000, func() {
		sending := p.send(t.Context(), e, 1)
		sending.item(e)
		p.publish(g)
		g.endSpan("nacked", refused)
		sending.end(refused)
	})
	if traced != plain {
		t.Errorf("%v allocations an event, want %v", traced, plain)
	}
}
