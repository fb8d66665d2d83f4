package admin

import (
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/brokertest"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// What the broker says when it closes a channel is in the error of whoever has used it.
func TestTheReasonOfAClosedChannelIsTold(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := brokertest.Config(t, v)
	o := NewConfirmingPublisher(cfg)
	defer o.Close()
	if err := o.Publish(t.Context(), "log_queue.dead", []broker.Message{{Body: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	b, err := OpenBrowser(t.Context(), cfg, "log_queue.dead")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := b.Get(); !ok || err != nil {
		t.Fatal(ok, err)
	}
	const unknown = 7
	if err := b.ch.Ack(unknown, false); err != nil { // a mistake that the broker closes the channel for
		t.Fatal(err)
	}
	brokertest.Eventually(t, "the channel is closed", b.ch.IsClosed)
	if _, _, err := b.Get(); err == nil || !strings.Contains(err.Error(), "unknown delivery tag 7") {
		t.Errorf("got %v, want the broker's words", err)
	}
	if err := b.Close(); err == nil || !strings.Contains(err.Error(), "unknown delivery tag 7") {
		t.Errorf("got %v, want the broker's words", err)
	}
}
