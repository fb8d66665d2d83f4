package admin

import (
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/brokertest"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func TestTheConfirmingPublisher(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := brokertest.Config(t, v)
	o := NewConfirmingPublisher(cfg)
	defer o.Close()
	many := make([]broker.Message, 3*confirmWindow+1)
	for i := range many {
		many[i] = broker.Message{Body: []byte("x"), ContentType: "text/plain", MessageID: fmt.Sprint(i), Headers: map[string]any{"a": "b"}}
	}
	if err := o.Publish(t.Context(), cfg.DeadQueue(), many); err != nil {
		t.Fatal(err)
	}
	if err := o.Publish(t.Context(), "no_such_queue", many[:2]); err == nil || !strings.Contains(err.Error(), "no_such_queue") {
		t.Errorf("to a queue that isn't there: %v", err)
	}
	// It connects again after an error.
	if err := o.Publish(t.Context(), cfg.DeadQueue(), many[:1]); err != nil {
		t.Fatal(err)
	}
	all := brokertest.TakeAll(t, v, cfg.DeadQueue())
	if len(all) != len(many)+1 || all[5].MessageId != "5" || all[5].DeliveryMode != amqp.Persistent || all[5].Headers["a"] != "b" {
		t.Errorf("%d messages", len(all))
	}
}
