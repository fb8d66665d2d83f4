package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/test/ledger"
)

// unstorable is what no consumer can store: by reason, and each for another cause.
func unstorable(stored uuid.UUID) map[string][]amqp.Publishing {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000000")
	line := func(change map[string]any) []byte {
		e := map[string]any{"event_id": uuid.Must(uuid.NewV7()), "session_id": 1, "event_type": "rejected", "payload": map[string]any{}, "timestamp": now, "producer_timestamp": now}
		maps.Copy(e, change)
		b, err := json.Marshal(e)
		if err != nil {
			panic(err)
		}
		return b
	}
	one := func(bodies ...string) (all []amqp.Publishing) {
		for _, b := range bodies {
			all = append(all, amqp.Publishing{ContentType: broker.ContentEvent, Body: []byte(b)})
		}
		return all
	}
	with := func(name string, values ...any) (all []amqp.Publishing) {
		for _, v := range values {
			all = append(all, one(string(line(map[string]any{name: v})))...)
		}
		return all
	}
	group := func(body string) amqp.Publishing {
		return amqp.Publishing{ContentType: broker.ContentGroup, Body: []byte(body)}
	}
	tomorrow := time.Now().Add(24 * time.Hour).UnixMilli()
	future := fmt.Sprintf("%08x-%04x-7000-8000-000000000000", tomorrow>>16, tomorrow&0xffff)
	return map[string][]amqp.Publishing{
		event.ReasonInvalidJSON: one("", "not JSON", `{"session_id":1`),
		event.ReasonInvalidEvent: append(append(with("session_id", "one", -1, nil),
			with("event_type", "", strings.Repeat("x", 101))...),
			append(with("payload", "text"), append(with("username", "ab"), one("[1,2]", "{} {}", "{\xff\xfe}")...)...)...),
		event.ReasonInvalidID:          with("event_id", future, "01000000-0000-7000-8000-000000000000", uuid.New(), "no id"),
		deadletter.ReasonEmptyGroup:    {group(""), group("\n\n")},
		deadletter.ReasonGroupTooLarge: {group(strings.Repeat("{}\n", 10_001)), group(strings.Repeat("x", 1<<20+1))},
		deadletter.ReasonIDReused:      with("event_id", stored, stored),
		deadletter.ReasonRejected:      one(string(line(map[string]any{"event_type": "refused"}))),
	}
}

// Two dozen messages that can't be stored, among ten thousand that can: each is a dead
// letter with its reason, and the others do not wait for them.
func TestRejectedAmongTenThousand(t *testing.T) {
	const good = 9_976
	w := newWorld(t, self(t))
	// A check that the door does not know, as a database that somebody else has changed.
	if err := w.exec("ALTER TABLE log_events ADD CONSTRAINT none_refused CHECK (event_type <> 'refused')"); err != nil {
		t.Fatal(err)
	}
	first := w.newClient()
	rates := [2]time.Duration{}
	pour := func(i int, c *ledger.Client) {
		start := time.Now()
		c.Pour(t.Context(), nil, ledger.Pace{Events: good, PerSecond: 50_000, Batch: 100})
		w.await("they are rows", func() bool {
			n, err := w.arrived(c.Ledger)
			return err == nil && n >= good
		})
		rates[i] = time.Since(start)
	}
	pour(0, first)

	rows, err := w.rows(t.Context(), first.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	messages := unstorable(rows[0].ID)
	done := make(chan error, 1)
	want := make(map[string]int)
	for reason, all := range messages {
		want[reason] = len(all)
	}
	go func() { done <- w.publishAll(messages) }()
	pour(1, w.client)
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	got := make(map[string]int)
	w.await("every one that can not be stored is a dead letter", func() bool {
		letters, err := w.letters(t.Context())
		clear(got)
		for _, l := range letters {
			got[l.Reason]++
		}
		return err == nil && len(letters) >= 24
	})
	if !maps.Equal(got, want) {
		t.Errorf("dead letters by reason: %v, want %v", got, want)
	}
	all, err := w.rows(t.Context(), w.client.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	w.report(t, w.client.Judge(all, nil))
	if len(all) != good {
		t.Errorf("%d rows, want %d", len(all), good)
	}
	t.Logf("%d events took %s without such messages, %s with them", good, rates[0].Round(time.Millisecond), rates[1].Round(time.Millisecond))
}

// publishAll puts messages on the queue past the producer.
func (w *world) publishAll(messages map[string][]amqp.Publishing) error {
	return w.onChannel(func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		for _, all := range messages {
			for _, m := range all {
				m.DeliveryMode = amqp.Persistent
				confirm, err := ch.PublishWithDeferredConfirmWithContext(context.Background(), "", queue, true, false, m)
				if err != nil {
					return err
				}
				if !confirm.Wait() {
					return fmt.Errorf("not confirmed: %.100s", m.Body)
				}
			}
		}
		return nil
	})
}
