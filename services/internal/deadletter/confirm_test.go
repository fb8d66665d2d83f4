package deadletter_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
)

// settled is the number of ready messages once nobody has any in hand. (A quorum queue counts a
// consumer for each that is.)
func (f *fixture) settled(queue string) (ready int) {
	f.Helper()
	f.eventually("nobody has a letter in hand", func() bool {
		q, err := f.ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil {
			f.Fatal(err)
		}
		ready = q.Messages
		return q.Consumers == 0
	})
	return ready
}

// What is said to be replayed has left the dead-letter queue. A quorum queue forgets some of the
// acks that are under way when their channel closes, of 3.10.8 and of 4.3.
func TestWhatIsReplayedIsGone(t *testing.T) {
	f := setUp(t)
	for _, n := range []int{40, 64, 100, 180, 400} {
		messages, _ := letters(n, "rejected_by_database")
		f.publish(f.cfg.DeadQueue(), messages...)
		if got := len(f.replay(deadletter.ReplayOptions{})); got != n {
			t.Errorf("%d of %d are replayed", got, n)
		}
		if left := f.settled(f.cfg.DeadQueue()); left > 0 {
			t.Errorf("%d of %d replayed letters are left", left, n)
		}
		if got, err := f.ch.QueuePurge(f.cfg.Queue, false); err != nil || got != n {
			t.Errorf("%d of %d are on the queue: %v", got, n, err)
		}
		f.drain(f.cfg.DeadQueue())
	}
}

// The same of classic queues, which somebody else declared.
func TestWhatIsReplayedIsGoneFromAClassicQueue(t *testing.T) {
	f := setUp(t)
	f.cfg.Queue, f.cfg.QueueType = "classic_queue", broker.Existing
	for _, name := range []string{f.cfg.Queue, f.cfg.DeadQueue()} {
		if _, err := f.ch.QueueDeclare(name, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	messages, ids := letters(150, "rejected_by_database")
	f.publish(f.cfg.DeadQueue(), messages...)
	if got := f.list(); len(got) != 150 {
		t.Errorf("%d are listed", len(got))
	}
	f.replay(deadletter.ReplayOptions{ID: ids[70]})
	if left := f.settled(f.cfg.DeadQueue()); left != 149 {
		t.Errorf("%d are left of 149", left)
	}
	f.replay(deadletter.ReplayOptions{})
	if left := f.settled(f.cfg.DeadQueue()); left > 0 {
		t.Errorf("%d are left", left)
	}
	if got := f.idsOn(f.cfg.Queue); !slices.Equal(got, slices.Sorted(slices.Values(ids))) {
		t.Errorf("%d are on the queue", len(got))
	}
}

// idsOn are the different ids of what is on the queue.
func (f *fixture) idsOn(queue string) (ids []string) {
	f.Helper()
	for _, d := range f.drain(queue) {
		ids = append(ids, d.MessageId)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// A letter that is replayed twice under a new id, since it came back, say, is one event.
func TestReplayedTwiceUnderANewIDIsOneEvent(t *testing.T) {
	f := setUp(t)
	messages, former := letters(60, deadletter.ReasonIDReused)
	opts := deadletter.ReplayOptions{NewID: true, Key: event.NewKey([]byte(strings.Repeat("k", 32)))}
	var told []string
	for range 2 {
		f.publish(f.cfg.DeadQueue(), messages...)
		for _, one := range f.replay(opts) {
			told = append(told, one.NewID)
		}
	}
	slices.Sort(told)
	ids := f.idsOn(f.cfg.Queue)
	if len(ids) != 60 || !slices.Equal(ids, slices.Compact(told)) {
		t.Errorf("60 events got %d ids", len(ids))
	}
	for _, id := range former {
		if slices.Contains(ids, id) {
			t.Errorf("%s is a former id", id)
		}
	}
}

// Replays and lists at the same time find and remove everything, and nobody waits for ever.
func TestReplaysAndListsAtTheSameTime(t *testing.T) {
	f := setUp(t)
	messages, ids := letters(300, "rejected_by_database")
	f.publish(f.cfg.DeadQueue(), messages...)
	var work sync.WaitGroup
	for range 3 {
		work.Go(func() {
			err := deadletter.Replay(t.Context(), f.cfg, deadletter.ReplayOptions{}, func(deadletter.Replayed) error { return nil })
			if err != nil && !errors.Is(err, deadletter.ErrOthers) {
				t.Error(err)
			}
		})
		work.Go(func() {
			for range 3 {
				err := deadletter.List(t.Context(), f.cfg, event.Key{}, func(deadletter.Entry) error { return nil })
				if err != nil && !errors.Is(err, deadletter.ErrOthers) {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	// A list may have had some in hand when the replays looked what there is.
	f.replay(deadletter.ReplayOptions{})
	if left := f.settled(f.cfg.DeadQueue()); left > 0 {
		t.Errorf("%d are left", left)
	}
	if got := f.idsOn(f.cfg.Queue); !slices.Equal(got, slices.Sorted(slices.Values(ids))) {
		t.Errorf("%d of 300 are on the queue", len(got))
	}
}

// inHand takes messages as another program would, on a channel of its own.
func (f *fixture) inHand(n int) (all []broker.Delivery, giveBack func()) {
	f.Helper()
	conn, err := amqp.Dial(f.vhost.URL())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		f.Fatal(err)
	}
	for range n {
		d, ok, err := ch.Get(f.cfg.DeadQueue(), false)
		if err != nil || !ok {
			f.Fatal(ok, err)
		}
		all = append(all, broker.Delivery{Body: d.Body, ContentType: d.ContentType, MessageID: d.MessageId, Type: d.Type, Headers: d.Headers})
	}
	return all, func() { _ = conn.Close() }
}

// A replay that can't see whether its letters are gone says so.
func TestWhatCannotBeProvenIsSaid(t *testing.T) {
	f := setUp(t)
	messages, ids := letters(10, "rejected_by_database")
	f.publish(f.cfg.DeadQueue(), messages...)
	_, giveBack := f.inHand(1)
	unproven := 0
	err := deadletter.Replay(t.Context(), f.cfg, deadletter.ReplayOptions{}.WithTimeout(time.Second), func(r deadletter.Replayed) error {
		if r.Unproven && r.Left == nil {
			unproven++
		}
		return nil
	})
	if !errors.Is(err, deadletter.ErrUnproven) || !strings.Contains(err.Error(), "somebody else") || unproven != 9 {
		t.Errorf("%d unproven: %v", unproven, err)
	}
	giveBack()
	f.settled(f.cfg.DeadQueue())
	if again := f.replay(deadletter.ReplayOptions{}); len(again) != 1 || again[0].EventID != ids[0] || again[0].Unproven {
		t.Errorf("%+v", again)
	}
}

// What came back of what was acked is removed, and nothing else, whoever else has seen it.
func TestConfirmRemovesWhatCameBack(t *testing.T) {
	f := setUp(t)
	messages, ids := letters(60, "rejected_by_database")
	f.publish(f.cfg.DeadQueue(), messages...)
	all, giveBack := f.inHand(60)
	giveBack() // so that all are redelivered
	f.settled(f.cfg.DeadQueue())
	again := messages[7] // it was replayed, and died again
	again.Headers = maps.Clone(again.Headers)
	again.Headers[deadletter.HeaderReplays] = int64(1)
	f.publish(f.cfg.DeadQueue(), again)
	if err := deadletter.Confirm(t.Context(), f.cfg, all[:50], time.Minute); err != nil {
		t.Error(err)
	}
	f.settled(f.cfg.DeadQueue())
	want := slices.Sorted(slices.Values(append(slices.Clone(ids[50:]), ids[7])))
	if got := idsOf(f.list()); !slices.Equal(got, want) {
		t.Errorf("%q are left, want %q", got, want)
	}
}

// An id that the consumer refuses is replaced, too.
func TestAnInvalidIDIsReplaced(t *testing.T) {
	f := setUp(t)
	now := time.Now().UTC()
	body := fmt.Appendf(nil, `{"session_id":1,"event_type":"user_action","producer_timestamp":%q,"event_id":"not one"}`, now.Format(time.RFC3339Nano))
	letter := deadletter.Letter{Body: body, ContentType: broker.ContentEvent, Reason: event.ReasonInvalidID}
	f.publish(f.cfg.DeadQueue(), letter.Message(now))
	replayed := f.replay(deadletter.ReplayOptions{Reason: event.ReasonInvalidID, NewID: true})
	queued := f.drain(f.cfg.Queue)
	if len(replayed) != 1 || replayed[0].Left != nil || len(queued) != 1 || queued[0].MessageId != replayed[0].NewID {
		t.Fatalf("%+v, %+v", replayed, queued)
	}
	e, err := event.ParseWire(queued[0].Body, time.Now())
	if err != nil || e.ID.String() != replayed[0].NewID || event.IDTime(e.ID).UnixMilli() != now.UnixMilli() {
		t.Errorf("%+v, %v", e, err)
	}
}

// The id of an event without one is that of its bytes: a replay leaves them as they are.
func TestAnEventWithoutAnIDIsReplayedAsItCame(t *testing.T) {
	f := setUp(t)
	body := fmt.Sprintf("{\"session_id\": 1, \"event_type\": \"t\", \"payload\": {\"a\":\n 1}, \"producer_timestamp\": %q}", time.Now().UTC().Format(time.RFC3339))
	f.publish(f.cfg.DeadQueue(), broker.Message{Body: []byte(body), ContentType: broker.ContentEvent})
	key := event.NewKey([]byte(strings.Repeat("k", 32)))
	want, err := key.ParseWire([]byte(body), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	replayed := f.replay(deadletter.ReplayOptions{ID: want.PlainID.String(), Key: key}) // as it was called before there was a key
	queued := f.drain(f.cfg.Queue)
	if len(replayed) != 1 || replayed[0].EventID != want.ID.String() || len(queued) != 1 || string(queued[0].Body) != body {
		t.Errorf("%+v, %+v", replayed, queued)
	}
}
