package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trailpost/trailpost/test/ledger"
)

// longSchedule is a duration from which on faults that take long are in the schedule.
const longSchedule = 2 * time.Minute

// seedOf is the flag's, or another one each time. A failed test prints it again.
func seedOf(t *testing.T) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	t.Logf("-faults.seed=%d", seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to see it again: go test ./services/internal/faults -run '^%s$' -faults.seed=%d -faults.duration=%s -v", t.Name(), seed, *durationFlag)
		}
	})
	return seed
}

// Faults by the dozen, two at a time, chosen by the seed.
func TestRandomFaults(t *testing.T) {
	seed := seedOf(t)
	w := newReplicatedWorld(t, services(t))
	counts, v := w.random(seed, *durationFlag, patience+*durationFlag/4)
	t.Logf("\n%s", table(counts, v))
	w.report(t, v)
}

// random runs the schedule of a seed and judges. The two lanes of faults never break
// the same thing: one has the network, the other the servers and the processes.
func (w *world) random(seed uint64, duration, limit time.Duration) (counts map[string]int, v ledger.Verdict) {
	w.t.Helper()
	lanes := [2][]fault{append(networkFaults(), requestFaults()...), append(append(brokerFaults(), databaseFaults()...), processFaults()...)}
	if w.replicas != nil {
		lanes[1] = append(lanes[1], standbyFaults()...)
	}
	for i := range lanes {
		lanes[i] = slices.DeleteFunc(lanes[i], func(f fault) bool {
			return f.alone || f.long && duration < longSchedule || !only(&f) || !w.possible(&f)
		})
	}
	// One event in a hundred uses another's id, and one refusal in twenty is a client's last word.
	stop := w.load(func(c *ledger.Client) {
		c.Reuse, c.GiveUp, c.Cancel, c.CancelWithin = 0.01, 0.05, 0.02, 50*time.Millisecond
	})
	counts = make(map[string]int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(w.t.Context(), duration)
	defer cancel()
	for i, faults := range lanes {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for ctx.Err() == nil {
				f := faults[r.IntN(len(faults))]
				if *traceFlag {
					w.t.Log(&f)
				}
				mu.Lock()
				counts[f.String()]++
				mu.Unlock()
				end, err := f.begin(w, r)
				wait(ctx, time.Duration(100+r.IntN(1500))*time.Millisecond)
				if end != nil {
					err = joinEnd(err, end)
				}
				if err != nil {
					w.t.Errorf("%s: %v", &f, err)
					cancel()
				}
				wait(ctx, time.Duration(r.IntN(700))*time.Millisecond)
			}
		})
	}
	wg.Wait()
	if err := w.readyWithin(max(limit, patience)); err != nil {
		w.t.Fatal(err)
	}
	if err := stop(); err != nil {
		w.t.Error(err)
	}
	v = w.settledWithin(w.client.Ledger, limit)
	if w.replicas == nil || v.Lost > 0 {
		return counts, v
	}
	// What was stored is on both, or it would not have been acked.
	if err := w.replicas.failOver(context.Background(), crash); err != nil {
		w.t.Fatal(err)
	}
	return counts, w.settledWithin(w.client.Ledger, soon)
}

func joinEnd(err error, end func() error) error {
	if failed := end(); failed != nil {
		return errors.Join(err, fmt.Errorf("mending it: %w", failed))
	}
	return err
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// report fails the test for each fault that the judge found.
func (w *world) report(t *testing.T, v ledger.Verdict) {
	t.Helper()
	t.Logf("the client: %s", w.client.Summary())
	t.Logf("the judge: %s", &v)
	for _, f := range v.Faults {
		t.Error(f)
	}
}

// table shows a run.
func table(counts map[string]int, v ledger.Verdict) string {
	var b strings.Builder
	total := 0
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%6d  %s\n", counts[kind], kind)
		total += counts[kind]
	}
	fmt.Fprintf(&b, "%6d  faults of %d kinds\n\n", total, len(counts))
	for _, row := range []struct {
		n    int
		what string
	}{
		{v.Sent, "events sent"}, {v.Accepted, "accepted"}, {v.Stored, "stored"}, {v.DeadLettered, "dead-lettered"},
		{v.Twice, "duplicates"}, {v.Lost, "lost"}, {v.Altered, "altered"}, {v.Foreign, "never sent"},
	} {
		fmt.Fprintf(&b, "%6d  %s\n", row.n, row.what)
	}
	return b.String()
}
