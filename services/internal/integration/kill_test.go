package integration

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// waiting is how many messages are on the queue and in nobody's hands. (The
// broker's own count of those in hands is seconds old.)
func waiting(s *pipeline.Pipeline) int {
	s.T.Helper()
	b, err := admin.OpenBrowser(s.T.Context(), s.Broker(), "log_queue")
	if err != nil {
		s.T.Fatal(err)
	}
	defer b.Close()
	n, err := b.Ready()
	if err != nil {
		s.T.Fatal(err)
	}
	return n
}

// A consumer that is killed at any moment loses nothing and doubles nothing.
func TestTwentyKillsDuringAHundredThousandEvents(t *testing.T) {
	t.Parallel()
	const events, kills = 100_000, 20
	s := pipeline.New(t, "CONSUMER_BATCH_SIZE=100")
	ids := s.Accept(s.Producer(), events)

	inHand, betweenCommitAndAck := 0, 0
	for round := range kills {
		var p *pipeline.Process
		if round%3 == 1 {
			p = s.Spawn("consumer", fmt.Sprintf("%s=stall %d", pipeline.HookVariable, 1+rand.N(20)))
			for p.Line() != pipeline.Stalled {
			}
			betweenCommitAndAck++
		} else {
			p = s.Spawn("consumer", pipeline.HookVariable+"=slow 3")
			// Its own word: rows may still come from the one before, which PostgreSQL outlives.
			for p.Line() != pipeline.Committed {
			}
			time.Sleep(rand.N(400 * time.Millisecond)) // a random moment is what is asked for
		}
		// Standing still, it settles nothing more: what waits after the kill and did not
		// before was in its hands.
		p.Signal(syscall.SIGSTOP)
		waited := waiting(s)
		p.Kill()
		pipeline.Eventually(t, "what was in hand goes back", func() bool { return waiting(s) > waited })
		inHand += waiting(s) - waited
	}
	left := events - s.Rows("")
	if left <= 0 {
		t.Error("nothing was left to store: the last kills proved nothing")
	}
	t.Logf("%d kills, %d of them between commit and ack; %d messages were in hand; %d events left to store",
		kills, betweenCommitAndAck, inHand, left)
	consumer := s.Consumer()
	s.WaitRows(events)
	if n := s.Rows("event_id = ANY($1)", ids); n != events {
		t.Errorf("%d rows of the ids that the client was told", n)
	}
	pipeline.Eventually(t, "everything is acked", func() bool {
		return pipeline.Metric(t, consumer, `trailpost_queue_messages{queue="log_queue",state="unacked"}`) == 0 && waiting(s) == 0
	})
	if letters := s.Letters(); len(letters) != 0 {
		t.Errorf("%d dead letters, the first %+v", len(letters), letters[0])
	}
	if n := pipeline.Metric(t, consumer, "trailpost_events_duplicate_total"); n == 0 {
		t.Error("no event came twice, although the last kill fell between commit and ack")
	}
}
