package consume

import (
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/broker/internal/brokertest"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// A message's headers are one frame. RabbitMQ's usual frame_max is 131,072 bytes with 8
// of the frame's own; a publisher may send 8 more.
const (
	frameFull     = 131_064
	frameOverfull = 131_072
)

// headersOf fill a frame with that many bytes: 14 are the class, weight, body's size and
// flags, 4 the table's size, 3 and 4 the name, its type and the text's size.
func headersOf(size int) amqp.Table {
	return amqp.Table{"a": strings.Repeat("x", size-14-4-3-4)}
}

// No headers that RabbitMQ takes end the sessions of who reads them, now or when
// RabbitMQ has added its counts to them, and what stands behind them comes.
func TestHeadersThatFillAFrame(t *testing.T) {
	for _, size := range []int{frameFull, frameOverfull} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			v := testbed.Rabbit(t)
			cfg := brokertest.Config(t, v)
			session(t, cfg, 1000).Close() // declares
			publish := func(queue string, message amqp.Publishing) {
				t.Helper()
				ch := brokertest.Channel(t, v)
				if err := ch.Confirm(false); err != nil {
					t.Fatal(err)
				}
				confirm, err := ch.PublishWithDeferredConfirmWithContext(t.Context(), "", queue, true, false, message)
				if err != nil {
					t.Fatal(err)
				}
				if ok, err := confirm.WaitContext(t.Context()); !ok || err != nil {
					t.Fatalf("RabbitMQ took it: %t, %v", ok, err)
				}
			}
			for _, queue := range []string{cfg.Queue, cfg.DeadQueue()} {
				publish(queue, amqp.Publishing{Headers: headersOf(size), Body: []byte("full")})
				publish(queue, amqp.Publishing{Body: []byte("behind")})
			}
			for round := range 3 {
				s := session(t, cfg, 1000)
				first, second := receive(t, s), receive(t, s)
				if string(first.Body) != "full" || string(second.Body) != "behind" || first.Returns < int64(round) {
					t.Errorf("round %d: %q, returned %d times, and %q", round, first.Body, first.Returns, second.Body)
				}
				if round == 2 {
					if err := s.Ack(second.Tag, 2); err != nil {
						t.Fatal(err)
					}
					s.Close()
					break
				}
				s.conn.Kill()
				brokertest.Eventually(t, "the session knows that it is lost", s.Lost)
			}
			for range 2 {
				b, err := admin.OpenBrowser(t.Context(), cfg, cfg.DeadQueue())
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range []string{"full", "behind"} {
					if d, ok, err := b.Get(); err != nil || !ok || string(d.Body) != want {
						t.Fatalf("of the dead letters came %q, %t, %v; want %q", d.Body, ok, err, want)
					}
				}
				if err := b.Close(); err != nil { // gives them back, which is counted
					t.Fatal(err)
				}
			}
		})
	}
}
