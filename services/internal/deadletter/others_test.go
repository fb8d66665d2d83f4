package deadletter_test

import (
	"errors"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
)

// Letters that others hold are not "0 left": a replay waits for them, and says so if they don't
// come back. A list says what it can't show.
func TestLettersThatOthersHold(t *testing.T) {
	for _, held := range []int{100, 60} {
		f := setUp(t)
		messages, ids := letters(100, "rejected_by_database")
		f.publish(f.cfg.DeadQueue(), messages...)
		_, giveBack := f.inHand(held)
		shown := 0
		err := deadletter.List(t.Context(), f.cfg, event.Key{}, func(deadletter.Entry) error { shown++; return nil })
		if !errors.Is(err, deadletter.ErrOthers) || shown != 100-held {
			t.Errorf("%d held: %d are shown, %v", held, shown, err)
		}
		opts := deadletter.ReplayOptions{}.WithTimeout(time.Second)
		err = deadletter.Replay(t.Context(), f.cfg, opts, func(deadletter.Replayed) error { return nil })
		if !errors.Is(err, deadletter.ErrOthers) && !errors.Is(err, deadletter.ErrUnproven) {
			t.Errorf("%d held: a replay says %v", held, err)
		}

		// Given back while a replay waits for them, they are replayed; what came later is not.
		done := make(chan error, 1)
		go func() {
			done <- deadletter.Replay(t.Context(), f.cfg, deadletter.ReplayOptions{}, func(deadletter.Replayed) error { return nil })
		}()
		// No condition to wait for: that others hold letters for as long as this is what is tried.
		time.Sleep(2 * time.Second)
		giveBack()
		if err := <-done; err != nil {
			t.Errorf("%d held: given back: %v", held, err)
		}
		if left := f.settled(f.cfg.DeadQueue()); left != 0 {
			t.Errorf("%d held: %d are left", held, left)
		}
		if got := f.idsOn(f.cfg.Queue); len(got) != len(ids) {
			t.Errorf("%d held: %d of %d are on the queue", held, len(got), len(ids))
		}
	}
}

// What is not chosen is given back by the replay itself, and looked at once.
func TestAReplayThatWaitedLooksAtALetterOnce(t *testing.T) {
	f := setUp(t)
	messages, _ := letters(10, "rejected_by_database")
	other, _ := letters(5, "event_id_reused")
	f.publish(f.cfg.DeadQueue(), append(messages, other...)...)
	_, giveBack := f.inHand(3)
	looked := 0
	opts := deadletter.ReplayOptions{Reason: "event_id_reused", Looked: func(n int) { looked = n }}
	done := make(chan error, 1)
	replayed := 0
	go func() {
		done <- deadletter.Replay(t.Context(), f.cfg, opts, func(deadletter.Replayed) error { replayed++; return nil })
	}()
	time.Sleep(2 * time.Second) // as above
	giveBack()
	if err := <-done; err != nil || looked != 15 || replayed != 5 {
		t.Errorf("%d of %d were replayed, want 5 of 15: %v", replayed, looked, err)
	}
	if left := f.settled(f.cfg.DeadQueue()); left != 10 {
		t.Errorf("%d are left, want 10", left)
	}
}
