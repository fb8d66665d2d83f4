package connection

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// The client says that a channel is closed, and only then why: the reason is waited for, but not for
// ever, and no other error waits.
func TestExplain(t *testing.T) {
	reason := &amqp.Error{Code: amqp.PreconditionFailed, Reason: "message size 100 is larger than configured max size 10"}
	other := errors.New("other")
	for name, c := range map[string]struct {
		err  error
		say  func(notice chan *amqp.Error)
		want error
		wait time.Duration
	}{
		"said already":  {amqp.ErrClosed, func(n chan *amqp.Error) { n <- reason }, reason, 0},
		"said later":    {amqp.ErrClosed, func(n chan *amqp.Error) { time.Sleep(50 * time.Millisecond); n <- reason }, reason, 50 * time.Millisecond},
		"closed by us":  {amqp.ErrClosed, func(n chan *amqp.Error) { time.Sleep(50 * time.Millisecond); close(n) }, amqp.ErrClosed, 50 * time.Millisecond},
		"never said":    {amqp.ErrClosed, func(chan *amqp.Error) {}, amqp.ErrClosed, time.Second},
		"another error": {other, func(chan *amqp.Error) {}, other, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				notice := make(chan *amqp.Error, 1)
				ch := &Channel{notices: [2]chan *amqp.Error{notice, make(chan *amqp.Error, 1)}}
				go c.say(notice)
				if name == "said already" {
					synctest.Wait()
				}
				start := time.Now()
				if err := ch.Explain(c.err); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
				if waited := time.Since(start); waited < c.wait || waited > c.wait+2*time.Millisecond {
					t.Errorf("waited %s, want %s", waited, c.wait)
				}
			})
		})
	}
}
