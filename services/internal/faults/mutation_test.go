package faults

import (
	"testing"
	"time"

	"github.com/trailpost/trailpost/test/ledger"
)

// soon is how long what is stored may take to be seen, once the queue is empty.
const soon = 3 * time.Second

// The judge can convict: services that break a promise lose events in the scene that was
// made for it, and are found out; the product is acquitted there.
func TestTheJudgeConvicts(t *testing.T) {
	w := newReplicatedWorld(t, services(t))
	for _, m := range mutants {
		if m.scene.standby && w.replicas == nil {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			if *servicesFlag != "" { // by hand alone; make test runs them all
				t.Skip("that binary knows nothing of our mutants")
			}
			w.in(t, m)
			v := w.perform(m.scene, soon)
			t.Logf("the judge: %s", &v)
			if v.Lost == 0 {
				t.Error("nothing was lost, or the judge did not see it")
			}
		})
	}
	acquitted := []*scene{&failedOverAfterAll}
	if *allFlag || *servicesFlag != "" {
		for _, m := range mutants {
			acquitted = append(acquitted, m.scene)
		}
	}
	for _, s := range acquitted {
		if s.standby && w.replicas == nil {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			w.in(t, mutant{})
			w.report(t, w.perform(s, patience))
		})
	}
}

// in has the world be a subtest's, its services be m, and its ledger be empty.
func (w *world) in(t *testing.T, m mutant) {
	before := w.t
	w.t = t
	t.Cleanup(func() { w.t = before })
	w.client = w.newClient()
	w.purge()
	if w.mutant.name != m.name {
		w.become(m)
	}
}

// perform plays a scene and has it judged. What is lost never comes: limit is how long to
// wait for it.
func (w *world) perform(s *scene, limit time.Duration) ledger.Verdict {
	w.t.Helper()
	if err := s.play(w); err != nil {
		w.t.Fatal(err)
	}
	w.ready()
	w.await("the queue is empty", w.allAcked)
	return w.settledWithin(w.client.Ledger, limit)
}

// The random schedule convicts, too.
func TestTheScheduleConvicts(t *testing.T) {
	if !*allFlag {
		return // it takes minutes; `make faults` has it
	}
	seed := seedOf(t)
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			w := newReplicatedWorld(t, self(t))
			w.become(m)
			counts, v := w.random(seed, min(*durationFlag, time.Minute), 4*soon)
			t.Logf("\n%s", table(counts, v))
			if v.Lost == 0 {
				t.Error("nothing was lost, or the judge did not see it")
			}
		})
	}
}
