//go:build e2e

package e2e

import (
	"testing"
)

// TestScale: consumers come and go while events flow in, and the count that they
// were scaled to outlives an upgrade. By Helm 4, whose server-side apply would
// rather argue about the count than reset it.
func TestScale(t *testing.T) {
	n := newNamespace(t)
	r := newRelease(n, machine.helm4, buildCurrent(t))
	r.install(t)
	r.test(t)

	// A batch client and one with an event a request, 50,000 events in all.
	url := n.openDoor(t)
	batches, singles := newClient(t, url), newClient(t, url)
	_, waitBatches := batches.start(t.Context(), pace{events: 47_000, perSecond: 1_000, batch: 100})
	_, waitSingles := singles.start(t.Context(), pace{events: 3_000, perSecond: 60, batch: 1})
	for _, replicas := range []int{4, 1} {
		n.scale(t, "trailpost-consumer", replicas)
		n.waitDeployment(t, "trailpost-consumer")
		t.Logf("%d consumers, after %d and %d events", replicas, batches.total(), singles.total())
	}
	if batches.total() == 47_000 {
		t.Error("the events were all in before the consumers had been scaled: this test does not test what it says")
	}
	waitBatches()
	waitSingles()
	n.compare(t, batches.ledger)
	n.compare(t, singles.ledger)

	r.keepsScale(t, 3)
}
