package faults

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/trailpost/trailpost/test/ledger"
)

// pace is the load under which things break.
var pace = ledger.Pace{PerSecond: 200, Batch: 1, Workers: 16}

// load starts clients of one ledger: single events, and batches. end stops them, and
// waits until all is accepted.
func (w *world) load(change func(*ledger.Client)) (end func() error) {
	change(w.client)
	singles := w.start(w.client, pace)
	c := w.newClient()
	c.Ledger = w.client.Ledger
	change(c)
	batches := w.start(c, ledger.Pace{PerSecond: 400, Batch: 40, Workers: 4})
	return func() error { return errors.Join(singles(), batches()) }
}

// Each fault alone, under load, until somebody feels it: what was accepted is there
// afterwards, once and as it was sent.
func TestFaults(t *testing.T) {
	if !*allFlag {
		return // the random schedule has them too; `make faults` has each alone
	}
	seed := seedOf(t)
	w := newWorld(t, services(t))
	w.each(t, seed, alone())
	if w.servers.Local() {
		w = newReplicatedWorld(t, services(t))
		w.each(t, seed, standbyFaults())
	}
}

func (w *world) each(t *testing.T, seed uint64, faults []fault) {
	for _, f := range faults {
		if !only(&f) || !w.possible(&f) {
			continue
		}
		t.Run(f.String(), func(t *testing.T) {
			w.t = t
			w.client = w.newClient()
			w.purge() // the dead letters of the fault before, which are judged
			r := rand.New(rand.NewPCG(seed, 0))
			stop := w.load(func(c *ledger.Client) { c.Reuse = 0.01 })
			since := w.mark()
			end, err := f.begin(w, r)
			if err == nil {
				err = w.hold(&f, since)
			}
			if err != nil {
				t.Error(err)
			}
			if end != nil {
				if err := end(); err != nil {
					t.Fatal(err)
				}
			}
			w.ready()
			if err := stop(); err != nil {
				t.Error(err)
			}
			v := w.settled(w.client.Ledger)
			w.report(t, v)
		})
	}
}
