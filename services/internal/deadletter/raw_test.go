package deadletter_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
)

// rawLetter is the letter of an event without an id, as a consumer with the key writes it.
func rawLetter(t *testing.T, n int, key event.Key) (broker.Message, event.Event) {
	t.Helper()
	body := fmt.Appendf(nil, "{\"session_id\": 1, \"event_type\": \"t\", \"payload\": {\"n\":\n%d}, \"producer_timestamp\": %q}", n, time.Now().UTC().Format(time.RFC3339))
	e, err := key.ParseWire(body, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l := deadletter.Letter{ID: e.ID, Type: e.Type, ContentType: broker.ContentEvent, Body: body, Reason: deadletter.ReasonRejected}
	return l.Message(time.Now()), e
}

// A letter of an event without an id is chosen by the id that the consumer's log named, and by
// those that it has under the key of who replays it and without one. It goes back as it is.
func TestALetterWithoutAnIDIsFoundByItsIDs(t *testing.T) {
	f := setUp(t)
	former, key := event.NewKey([]byte(strings.Repeat("f", 32))), event.NewKey([]byte(strings.Repeat("k", 32)))
	letter, logged := rawLetter(t, 1, former)
	other, _ := rawLetter(t, 2, former)
	now, err := key.ParseWire(letter.Body, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	f.publish(f.cfg.DeadQueue(), other)
	for _, id := range []string{logged.ID.String(), now.ID.String(), now.PlainID.String()} {
		f.publish(f.cfg.DeadQueue(), letter)
		replayed := f.replay(deadletter.ReplayOptions{ID: id, Key: key})
		queued := f.drain(f.cfg.Queue)
		if len(replayed) != 1 || len(queued) != 1 || replayed[0].EventID != now.ID.String() || !bytes.Equal(queued[0].Body, letter.Body) {
			t.Errorf("%s: %+v, %+v", id, replayed, queued)
		}
	}
}

// A message that the broker dead-lettered has the message_id of its sender, who may name another's
// event.
func TestAMessageIDOfTheSendersChoosesNothing(t *testing.T) {
	f := setUp(t)
	m, _ := rawLetter(t, 1, event.Key{})
	m.MessageID, m.Headers = newEvent(1).ID.String(), nil
	f.publish(f.cfg.DeadQueue(), m)
	if replayed := f.replay(deadletter.ReplayOptions{ID: m.MessageID}); len(replayed) != 0 {
		t.Errorf("%+v", replayed)
	}
}

// A letter that has the derived id written in, as consumers wrote them once, and one that has not
// get one new id.
func TestANewIDIsTheSameWhetherTheFormerOneIsWritten(t *testing.T) {
	for _, key := range []event.Key{{}, event.NewKey([]byte(strings.Repeat("k", 32)))} {
		f := setUp(t)
		letter, e := rawLetter(t, 1, key)
		written := letter
		written.Body = event.AppendWire(nil, &e)
		f.publish(f.cfg.DeadQueue(), letter, written)
		replayed := f.replay(deadletter.ReplayOptions{NewID: true, Key: key})
		if len(replayed) != 2 || replayed[0].NewID == "" || replayed[0].NewID != replayed[1].NewID || replayed[0].FormerID != e.ID.String() || replayed[1].FormerID != e.ID.String() {
			t.Errorf("%+v", replayed)
		}
	}
}
