package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func session(t *testing.T, cfg Config, batch int) *Session {
	t.Helper()
	s, err := NewConsumer(cfg, batch, metrics()).Open(t.Context(), func(err error) { t.Log(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// receive takes the next message, which must come.
func receive(t *testing.T, s *Session) Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		d, ok, err := s.Receive(ctx, -1)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			return d
		}
		if ctx.Err() != nil {
			t.Fatal("no message came")
		}
	}
}

func TestASessionDeliversAndAcks(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := config(t, v)
	p := publisher(t, cfg)
	if err := p.PublishBatch(t.Context(), patience, testEvents(150)); err != nil {
		t.Fatal(err)
	}
	s := session(t, cfg, 1000)
	var last Delivery
	events := 0
	for range 3 {
		last = receive(t, s)
		lines, err := last.Lines()
		if err != nil || !last.IsGroup() || last.Redelivered || last.Returns != 0 {
			t.Fatalf("%+v: %v", last, err)
		}
		if n, ok := last.Events(); !ok || n != int64(len(lines)) {
			t.Errorf("header says %d, %v", n, ok)
		}
		events += len(lines)
	}
	if events != 150 {
		t.Errorf("%d events", events)
	}
	if _, ok, err := s.Receive(t.Context(), 10*time.Millisecond); ok || err != nil {
		t.Errorf("a fourth message: %v, %v", ok, err)
	}
	if err := s.Ack(last.Tag, 3); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if left := takeAll(t, v, "log_queue"); len(left) != 0 {
		t.Errorf("%d messages are left", len(left))
	}
}

func TestWhatWasNotAckedComesAgain(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := config(t, v)
	e := testEvent(1)
	if err := publisher(t, cfg).Publish(t.Context(), patience, &e); err != nil {
		t.Fatal(err)
	}
	for round := range 4 {
		s := session(t, cfg, 1000)
		d := receive(t, s)
		if d.Redelivered != (round > 0) || d.Returns < int64(min(round, 1)) {
			t.Errorf("round %d: redelivered %v, %d returns", round, d.Redelivered, d.Returns)
		}
		if round == 3 && d.Returns < 2 {
			t.Errorf("%d returns after three: a message that kills consumers would not be seen", d.Returns)
		}
		// As a crash would: without a word.
		s.conn.kill()
		eventually(t, "the session knows that it is lost", s.Lost)
		if _, _, err := s.Receive(t.Context(), -1); !errors.Is(err, ErrSessionLost) {
			t.Errorf("got %v", err)
		}
		if err := s.Ack(d.Tag, 1); !errors.Is(err, ErrSessionLost) {
			t.Errorf("an ack on a lost session: %v", err)
		}
	}
}

func TestASessionEndsWithItsQueue(t *testing.T) {
	v := testbed.Rabbit(t)
	s := session(t, config(t, v), 1000)
	if _, err := channel(t, v).QueueDelete("log_queue", false, false, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Receive(t.Context(), -1); !errors.Is(err, ErrSessionLost) {
		t.Errorf("got %v", err)
	}
}

// The broker closes a channel for a reason, and keeps the connection: a consumer timeout up to 4.2, a tag that it does not know.
func TestTheReasonOfAClosedChannelIsTold(t *testing.T) {
	s := session(t, config(t, testbed.Rabbit(t)), 10)
	if why := s.Why(); why != nil {
		t.Errorf("a session that lives ended by %v", why)
	}
	if err := s.Ack(4711, 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, _, err := s.Receive(ctx, -1)
	const want = "unknown delivery tag 4711"
	if !errors.Is(err, ErrSessionLost) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want the broker's words: %s", err, want)
	}
	if why := s.Why(); !s.Lost() || why == nil || !strings.Contains(why.Error(), want) {
		t.Errorf("the reason is kept as %v", why)
	}
}

func TestPrefetchFollowsTheEventsOfAMessage(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := config(t, v)
	p := publisher(t, cfg)
	singles, groups := testEvents(3000), testEvents(6400)
	one := cfg
	one.EventsPerMessage = 1
	if err := publisher(t, one).PublishBatch(t.Context(), patience, singles); err != nil {
		t.Fatal(err)
	}
	s := session(t, cfg, 1000)
	tags := uint64(0)
	take := func(events int) {
		t.Helper()
		for events > 0 {
			d := receive(t, s)
			if tags++; d.Tag != tags {
				t.Fatalf("tag %d after %d: ack-multiple would settle what was not seen", d.Tag, tags-1)
			}
			n, _ := d.Events()
			events -= int(n)
			s.settled = time.Time{} // it may adapt again at once
			if err := s.Saw(int(n)); err != nil {
				t.Fatal(err)
			}
			if err := s.Ack(d.Tag, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	take(3000)
	if s.prefetch != maxPrefetch {
		t.Errorf("prefetch %d for single events, want %d", s.prefetch, maxPrefetch)
	}
	// The first ones are delivered by the old prefetch still.
	for _, wave := range [][]event.Event{groups[:3200], groups[3200:]} {
		if err := p.PublishBatch(t.Context(), patience, wave); err != nil {
			t.Fatal(err)
		}
		take(len(wave))
	}
	if s.prefetch > 200 {
		t.Errorf("prefetch %d for groups of 64", s.prefetch)
	}
}

// A worker that stands still holds bounded bytes, and neither it nor the
// broker takes that for a dead peer.
func TestAFullHandStopsReadingAndKeepsTheConnection(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := config(t, v)
	cfg.heartbeat = 2 * time.Second
	cfg.undeliveredSize = 1 << 20
	const size, count = 200_000, 200
	s := session(t, cfg, 1000)
	if err := s.restart(count); err != nil {
		t.Fatal(err)
	}
	o := NewOutlet(cfg)
	defer o.Close()
	messages := make([]Message, count)
	for i := range messages {
		messages[i] = Message{Body: bytes.Repeat([]byte{'x'}, size), ContentType: "text/plain", MessageID: fmt.Sprint(i)}
	}
	if err := o.Publish(t.Context(), cfg.Queue, messages); err != nil {
		t.Fatal(err)
	}
	level := func() int {
		s.gate.mu.Lock()
		defer s.gate.mu.Unlock()
		return s.gate.level
	}
	eventually(t, "the gate is shut", func() bool { return level() > cfg.undeliveredSize })
	// Longer than three heartbeats of either side: nothing else shows that they don't matter.
	time.Sleep(4 * cfg.heartbeat)
	if now := level(); now > cfg.undeliveredSize+64<<10 {
		t.Errorf("%d bytes in hand, of %d", now, cfg.undeliveredSize)
	}
	seen := 0
	for range count {
		d := receive(t, s)
		if len(d.Body) != size || d.MessageID != fmt.Sprint(seen) {
			t.Fatalf("message %s of %d bytes after %d", d.MessageID, len(d.Body), seen)
		}
		seen++
		if err := s.Ack(d.Tag, 1); err != nil {
			t.Fatal(err)
		}
	}
	if now := level(); now != 0 {
		t.Errorf("%d bytes in hand after the last message", now)
	}
}

func TestTheOutletConfirms(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := config(t, v)
	o := NewOutlet(cfg)
	defer o.Close()
	many := make([]Message, 3*outletWindow+1)
	for i := range many {
		many[i] = Message{Body: []byte("x"), ContentType: "text/plain", MessageID: fmt.Sprint(i), Headers: map[string]any{"a": "b"}}
	}
	if err := o.Publish(t.Context(), cfg.DeadQueue(), many); err != nil {
		t.Fatal(err)
	}
	if err := o.Publish(t.Context(), "no_such_queue", many[:2]); err == nil || !strings.Contains(err.Error(), "no_such_queue") {
		t.Errorf("to a queue that isn't there: %v", err)
	}
	// It connects anew after an error.
	if err := o.Publish(t.Context(), cfg.DeadQueue(), many[:1]); err != nil {
		t.Fatal(err)
	}
	all := takeAll(t, v, cfg.DeadQueue())
	if len(all) != len(many)+1 || all[5].MessageId != "5" || all[5].DeliveryMode != amqp.Persistent || all[5].Headers["a"] != "b" {
		t.Errorf("%d messages", len(all))
	}
}

func TestWatchKeepsTheDepth(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := config(t, v)
	e := testEvent(1)
	if err := publisher(t, cfg).Publish(t.Context(), patience, &e); err != nil {
		t.Fatal(err)
	}
	m := metrics()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, cfg, 20*time.Millisecond, m)
	}()
	eventually(t, "the message is counted", func() bool {
		return testutil.ToFloat64(m.queueMessages.WithLabelValues("log_queue", "ready")) == 1
	})
	cancel()
	<-done
}
