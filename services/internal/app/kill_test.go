package app_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker/admin"
)

// waiting is how many messages are on the queue and in nobody's hands. (The
// broker's own count of those in hands is seconds old.)
func (s *stack) waiting() int {
	s.t.Helper()
	b, err := admin.OpenBrowser(s.t.Context(), s.broker(), "log_queue")
	if err != nil {
		s.t.Fatal(err)
	}
	defer b.Close()
	n, err := b.Ready()
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// accept posts n events and returns the ids that the client was told.
func (s *stack) accept(producer *service, n int) (ids []string) {
	s.t.Helper()
	for done := 0; done < n; done += 10_000 {
		a := post(s.t, producer.url+"/log/batch", "application/x-ndjson",
			lines(min(n-done, 10_000), `{"session_id":1,"event_type":"user_action","payload":{"n":%d}}`))
		if a.Code != 202 {
			s.t.Fatalf("%d %.500s", a.Code, a.Body)
		}
		ids = append(ids, a.EventIDs...)
	}
	return ids
}

// A consumer that is killed at any moment loses nothing and doubles nothing.
func TestTwentyKillsDuringAHundredThousandEvents(t *testing.T) {
	t.Parallel()
	const events, kills = 100_000, 20
	s := newStack(t, "CONSUMER_BATCH_SIZE=100")
	ids := s.accept(s.producer(), events)

	inHand, betweenCommitAndAck := 0, 0
	for round := range kills {
		var p *process
		if round%3 == 1 {
			p = s.spawn("consumer", fmt.Sprintf("%s=stall %d", hookVariable, 1+rand.N(20)))
			for p.line() != stalled {
			}
			betweenCommitAndAck++
		} else {
			p = s.spawn("consumer", hookVariable+"=slow 3")
			// Its own word: rows may still come from the one before, which PostgreSQL outlives.
			for p.line() != committed {
			}
			time.Sleep(rand.N(400 * time.Millisecond)) // a random moment is what is asked for
		}
		// Standing still, it settles nothing more: what waits after the kill and did not
		// before was in its hands.
		p.signal(syscall.SIGSTOP)
		waited := s.waiting()
		p.kill()
		eventually(t, "what was in hand goes back", func() bool { return s.waiting() > waited })
		inHand += s.waiting() - waited
	}
	left := events - s.rows("")
	if left <= 0 {
		t.Error("nothing was left to store: the last kills proved nothing")
	}
	t.Logf("%d kills, %d of them between commit and ack; %d messages were in hand; %d events left to store",
		kills, betweenCommitAndAck, inHand, left)
	consumer := s.consumer()
	s.waitRows(events)
	if n := s.rows("event_id = ANY($1)", ids); n != events {
		t.Errorf("%d rows of the ids that the client was told", n)
	}
	eventually(t, "everything is acked", func() bool {
		return metric(t, consumer, `trailpost_queue_messages{queue="log_queue",state="unacked"}`) == 0 && s.waiting() == 0
	})
	if letters := s.letters(); len(letters) != 0 {
		t.Errorf("%d dead letters, the first %+v", len(letters), letters[0])
	}
	if n := metric(t, consumer, "trailpost_events_duplicate_total"); n == 0 {
		t.Error("no event came twice, although the last kill fell between commit and ack")
	}
}
