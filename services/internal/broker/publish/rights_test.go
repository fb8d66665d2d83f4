package publish

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/brokertest"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestWhatAStolenPasswordOfTheBrokersCanDo tries what the rights that the chart and the operator's
// manifests give (a test there holds the two together) leave to whoever has the producer's or the
// consumer's password. SECURITY.md says the same.
func TestWhatAStolenPasswordOfTheBrokersCanDo(t *testing.T) {
	v := testbed.Rabbit(t)
	publisher(t, brokertest.Config(t, v)) // declares the queues
	users := v.Users(t, grantedRights(t))

	const queue, dead = "log_queue", "log_queue.dead"
	read := func(name string) map[string]func(*amqp.Channel) error {
		return map[string]func(*amqp.Channel) error{
			"get from " + name: func(ch *amqp.Channel) error { _, _, err := ch.Get(name, false); return err },
			"consume " + name: func(ch *amqp.Channel) error {
				_, err := ch.Consume(name, "", false, false, false, false, nil)
				return err
			},
			"purge " + name: func(ch *amqp.Channel) error { _, err := ch.QueuePurge(name, false); return err },
		}
	}
	change := map[string]func(*amqp.Channel) error{
		"delete " + queue: func(ch *amqp.Channel) error { _, err := ch.QueueDelete(queue, false, false, false); return err },
		"delete " + dead:  func(ch *amqp.Channel) error { _, err := ch.QueueDelete(dead, false, false, false); return err },
		"declare a queue": func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare("mine", true, false, false, false, nil)
			return err
		},
		"declare an exchange": func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare("mine", "fanout", true, false, false, false, nil)
		},
		"bind the queue": func(ch *amqp.Channel) error { return ch.QueueBind(queue, "", "amq.fanout", false, nil) },
		"publish to another exchange": func(ch *amqp.Channel) error {
			return publishVia(ch, "amq.fanout", "")
		},
	}
	publish := map[string]func(*amqp.Channel) error{
		"publish to " + queue: func(ch *amqp.Channel) error { return publishVia(ch, "", queue) },
		"publish to " + dead:  func(ch *amqp.Channel) error { return publishVia(ch, "", dead) },
	}
	for _, c := range []struct {
		user    string
		allowed bool
		what    map[string]func(*amqp.Channel) error
	}{
		{"producer", true, publish}, {"producer", false, read(queue)}, {"producer", false, read(dead)}, {"producer", false, change},
		{"consumer", true, publish}, {"consumer", true, read(queue)}, {"consumer", true, read(dead)}, {"consumer", false, change},
	} {
		for name, try := range c.what {
			err := try(brokertest.Channel(t, users[c.user]))
			refusal, refused := errors.AsType[*amqp.Error](err)
			switch {
			case c.allowed && err != nil:
				t.Errorf("the %s's password: %s: %v", c.user, name, err)
			case !c.allowed && (!refused || refusal.Code != amqp.AccessRefused):
				t.Errorf("the %s's password: %s: %v, want access refused", c.user, name, err)
			}
		}
	}

	// And with that the producer can do its work.
	cfg := brokertest.Config(t, users["producer"])
	cfg.QueueType = broker.Existing
	event := brokertest.Event(1)
	if err := send(t, publisher(t, cfg), &event); err != nil {
		t.Error(err)
	}
}

// publishVia returns when the broker has confirmed, or closed the channel.
func publishVia(ch *amqp.Channel, exchange, key string) error {
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	if err := ch.Confirm(false); err != nil {
		return err
	}
	confirm, err := ch.PublishWithDeferredConfirm(exchange, key, false, false, amqp.Publishing{Body: []byte("{}")})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), brokertest.Patience)
	defer cancel()
	ok, err := confirm.WaitContext(ctx)
	if err == nil && ok {
		return nil
	}
	select {
	case reason := <-closed:
		if reason != nil {
			return reason
		}
	case <-ctx.Done():
	}
	return errors.Join(err, errors.New("not confirmed"))
}

// grantedRights are those of the manifests, by user.
func grantedRights(t *testing.T) map[string]testbed.Rights {
	t.Helper()
	text, err := os.ReadFile("../../../../k8s/base/rabbitmq/definitions.json")
	if err != nil {
		t.Fatal(err)
	}
	var definitions struct {
		Permissions []struct{ User, Configure, Write, Read string } `json:"permissions"`
	}
	if err := json.Unmarshal(text, &definitions); err != nil {
		t.Fatal(err)
	}
	rights := map[string]testbed.Rights{}
	for _, p := range definitions.Permissions {
		if p.User == "producer" || p.User == "consumer" {
			rights[p.User] = testbed.Rights{Configure: p.Configure, Write: p.Write, Read: p.Read}
		}
	}
	if len(rights) != 2 {
		t.Fatalf("rights of %v", rights)
	}
	return rights
}
