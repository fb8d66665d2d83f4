package drain

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
)

// shelf is a session whose messages are all there already.
type shelf struct {
	deliveries []broker.Delivery
	saw        []int
}

func (*shelf) Why() error { return nil }

func (s *shelf) Receive(context.Context, time.Duration) (d broker.Delivery, ok bool, err error) {
	if len(s.deliveries) == 0 {
		return d, false, nil
	}
	d, s.deliveries = s.deliveries[0], s.deliveries[1:]
	return d, true, nil
}

func (s *shelf) ObserveSize(events int) error { s.saw = append(s.saw, events); return nil }
func (*shelf) Ack(uint64, int) error          { return nil }
func (*shelf) Lost() bool                     { return false }
func (*shelf) Close()                         {}

func delivery(tag uint64, events int, returns int64) broker.Delivery {
	var lines []string
	for n := range events {
		id := noonID(int(tag)<<8 + n)
		e := event.Event{ID: id, SessionID: 1, Type: "t", Timestamp: event.IDTime(id), ReceivedAt: event.IDTime(id), Payload: fmt.Appendf(nil, `{"n":%d}`, n)}
		lines = append(lines, string(event.AppendWire(nil, &e)))
	}
	return broker.Delivery{Tag: tag, Body: []byte(strings.Join(lines, "\n")), ContentType: broker.ContentGroup, Returns: returns, Redelivered: returns > 0}
}

// collectAll returns the tags of each batch.
func collectAll(t *testing.T, size int, deliveries ...broker.Delivery) (batches [][]uint64) {
	t.Helper()
	s := &shelf{deliveries: deliveries}
	w := NewWorker(Options{BatchSize: size, Linger: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	p := &pipeline{opts: &w.opts, session: s}
	for len(s.deliveries) > 0 || p.carryOver != nil {
		b, err := p.collect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var tags []uint64
		events := 0
		for _, m := range b.messages {
			tags = append(tags, m.Tag)
			events += len(m.events)
		}
		if events != len(b.events) || b.lastTag() != tags[len(tags)-1] {
			t.Errorf("batch of %d events, last tag %d: %v", len(b.events), b.lastTag(), tags)
		}
		if b.count > size && len(tags) > 1 {
			t.Errorf("%d events of %d in %v", b.count, size, tags)
		}
		batches = append(batches, tags)
	}
	return batches
}

func TestCollect(t *testing.T) {
	for name, tc := range map[string]struct {
		deliveries []broker.Delivery
		want       [][]uint64
	}{
		"up to a batch":           {[]broker.Delivery{delivery(1, 4, 0), delivery(2, 6, 0), delivery(3, 1, 0)}, [][]uint64{{1, 2}, {3}}},
		"messages stay whole":     {[]broker.Delivery{delivery(1, 4, 0), delivery(2, 7, 0), delivery(3, 1, 0)}, [][]uint64{{1}, {2, 3}}},
		"a message over a batch":  {[]broker.Delivery{delivery(1, 1, 0), delivery(2, 25, 0), delivery(3, 1, 0)}, [][]uint64{{1}, {2}, {3}}},
		"the third time is alone": {[]broker.Delivery{delivery(1, 1, 1), delivery(2, 1, 2), delivery(3, 1, 3), delivery(4, 1, 0), delivery(5, 1, 1)}, [][]uint64{{1}, {2}, {3}, {4, 5}}},
		"what can't be read counts": {[]broker.Delivery{
			{Tag: 1, Body: []byte("no\nno\nno\nno\nno\nno\n"), ContentType: broker.ContentGroup}, delivery(2, 5, 0),
		}, [][]uint64{{1}, {2}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := collectAll(t, 10, tc.deliveries...); !slices.EqualFunc(got, tc.want, slices.Equal) {
				t.Errorf("batches %v, want %v", got, tc.want)
			}
		})
	}
}

func TestABatchIsBoundedInBytes(t *testing.T) {
	large := func(tag uint64, size int) broker.Delivery {
		return broker.Delivery{Tag: tag, Body: make([]byte, size), ContentType: broker.ContentEvent}
	}
	got := collectAll(t, 1000,
		large(1, maxBatchBytes/2), large(2, maxBatchBytes/2), // just fit
		large(3, 1), large(4, maxBatchBytes), // together too much
		large(5, 2*maxBatchBytes), // alone too much, and taken
		large(6, 1))
	want := [][]uint64{{1, 2}, {3}, {4}, {5}, {6}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("batches %v, want %v", got, want)
	}
}

func TestCarriedHeadersAreTheMessages(t *testing.T) {
	b := new(batch)
	for tag := range uint64(3) {
		d := delivery(tag, int(tag)+1, 0)
		d.Headers = map[string]any{"tag": tag}
		b.add(read(d, event.Key{}, time.Now(), nil))
	}
	var got []uint64
	for i := range b.events {
		got = append(got, b.headersOf(i)["tag"].(uint64))
	}
	if want := []uint64{0, 1, 1, 2, 2, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestALateBatchWaitsLongerForMore(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const usual = 2 * time.Millisecond
	for age, want := range map[time.Duration]time.Duration{
		0:                    2 * time.Millisecond,
		time.Second:          2 * time.Millisecond,
		time.Second + 1:      20 * time.Millisecond,
		-time.Hour:           2 * time.Millisecond, // a producer's clock that is ahead
		365 * 24 * time.Hour: 20 * time.Millisecond,
	} {
		b := &batch{events: []event.Event{{ReceivedAt: now.Add(-age)}}}
		if got := b.linger(usual, now); got != want {
			t.Errorf("of events %s old: %s, want %s", age, got, want)
		}
	}
	if got := new(batch).linger(usual, now); got != 2*time.Millisecond {
		t.Errorf("of dead letters alone: %s", got)
	}
}

// A replay may be of what is stored already, as a redelivery may.
func TestAReplayMayBeStoredAlready(t *testing.T) {
	for _, tc := range []struct {
		d    broker.Delivery
		want bool
	}{
		{broker.Delivery{}, false},
		{broker.Delivery{Redelivered: true}, true},
		{broker.Delivery{Headers: map[string]any{deadletter.HeaderReplays: int64(1)}}, true},
	} {
		b := new(batch)
		b.add(read(tc.d, event.Key{}, time.Now(), nil))
		if b.redelivered != tc.want {
			t.Errorf("%+v: %t", tc.d, b.redelivered)
		}
	}
}
