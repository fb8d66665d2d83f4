package deadletter

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/retry"
)

// ErrUnproven says that letters were replayed and that it could not be proven that they have left
// the dead-letter queue. Another replay finds those that are still there, and stores nothing twice.
var ErrUnproven = errors.New("replayed letters could not be confirmed to have left the dead-letter queue; run replay again")

// confirmTimeout is how long [Replay] waits, without progress, for the proof that its letters are
// gone.
const confirmTimeout = time.Minute

// fingerprint identifies a letter: a hash of all of it but what the broker counts in its headers.
type fingerprint [sha256.Size]byte

func fingerprintOf(d *broker.Delivery) fingerprint {
	h := sha256.New()
	write := func(part []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	for _, text := range []string{d.MessageID, d.ContentType, d.Type} {
		write([]byte(text))
	}
	e := commonOf(d)
	write(fmt.Appendf(nil, "%q %q %q %q %d", e.Reason, e.Detail, e.SQLState, e.FormerID, e.Replays))
	write(fmt.Appendf(nil, "%d %d", e.FirstTime.UnixMicro(), e.LastTime.UnixMicro()))
	write(d.Body)
	return fingerprint(h.Sum(nil))
}

// confirm returns nil when no letter that a closed [admin.Browser] acked is left: see there for
// why acks alone prove nothing. It acks again what came back, until a look finds nothing. Counts
// are no proof either: others dead-letter, list and replay meanwhile.
//
// A letter that came back may be held by somebody else, by a list, say. So a look counts only when
// nobody else holds a letter before it and after it; confirm waits for that, for timeout without
// progress. Two replays that confirm at the same time see each other, and retry at different times.
func confirm(ctx context.Context, cfg broker.Config, acked map[fingerprint]int, timeout time.Duration) error {
	if len(acked) == 0 {
		return nil
	}
	pause, waited := 10*time.Millisecond, time.Duration(0)
	for {
		began := time.Now()
		found, alone, err := look(ctx, cfg, acked)
		switch {
		case ctx.Err() != nil:
			return errors.Join(ErrUnproven, ctx.Err())
		case err == nil && alone && found == 0:
			return nil
		case found > 0:
			pause, waited = 10*time.Millisecond, 0
		case err != nil || !alone:
			waited += time.Since(began)
		}
		if waited >= timeout {
			if err == nil {
				err = errors.New("somebody else holds letters unacked")
			}
			return fmt.Errorf("%w (%w)", ErrUnproven, err)
		}
		d := retry.Around(pause)
		_ = retry.Sleep(ctx, d) // the next look finds that ctx has ended
		waited += d
		pause = min(2*pause, 2*time.Second)
	}
}

// look goes through the letters once, and acks those that came back. alone says that it saw all
// letters: nobody else held one.
func look(ctx context.Context, cfg broker.Config, acked map[fingerprint]int) (found int, alone bool, err error) {
	b, err := admin.OpenBrowser(ctx, cfg, cfg.DeadQueue())
	if err != nil {
		return 0, false, err
	}
	defer func() {
		if closing := b.Close(); err == nil {
			err = closing
		}
	}()
	// Alone waits: the end of the previous channel may not have reached the queue yet.
	if alone, err := b.Alone(); err != nil || !alone {
		return 0, false, err
	}
	n, err := b.Ready()
	if err != nil {
		return 0, false, err
	}
	seen := map[fingerprint]int{}
	take := func() (returned bool, err error) {
		d, ok, err := b.Get()
		if err != nil || !ok || !d.Redelivered {
			return false, err
		}
		f := fingerprintOf(&d)
		if seen[f] == acked[f] {
			return true, nil
		}
		seen[f]++
		found++
		return true, b.Ack(d.Tag)
	}
	// What can have come back is ready now; what somebody takes and returns meanwhile goes before
	// what was never delivered.
	for returned := true; n > 0 || returned; n-- {
		if ctx.Err() != nil {
			return found, false, ctx.Err()
		}
		if returned, err = take(); err != nil {
			return found, false, err
		}
	}
	if alone, err = b.Alone(); err != nil || !alone {
		return found, false, err
	}
	returned, err := take()
	return found, !returned, err
}
