//go:build e2e

package e2e

import (
	"testing"

	"github.com/trailpost/trailpost/test/ledger"
)

// TestScale: consumers come and go while events flow in, and the count that they
// were scaled to outlives an upgrade. By Helm 4, whose server-side apply would
// rather argue about the count than reset it.
func TestScale(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	r := newRelease(n, machine.helm4, buildCurrent(t), besideOthers...)
	r.install(t)
	r.test(t)

	// A batch client and one with an event a request, 50,000 events in all.
	url := n.openDoor(t)
	batches, singles := n.newClient(t, url), n.newClient(t, url)
	_, waitBatches := batches.Start(t.Context(), ledger.Pace{Events: 47_000, PerSecond: 1_000, Batch: 100})
	_, waitSingles := singles.Start(t.Context(), ledger.Pace{Events: 3_000, PerSecond: 60, Batch: 1})
	for _, replicas := range []int{4, 1} {
		n.scale(t, "trailpost-consumer", replicas)
		n.waitDeployment(t, "trailpost-consumer")
		t.Logf("%d consumers, after %d and %d events", replicas, batches.Accepted(), singles.Accepted())
	}
	if batches.Accepted() == 47_000 {
		t.Error("the events were all in before the consumers had been scaled: this test does not test what it says")
	}
	waitBatches()
	waitSingles()
	n.compare(t, batches.Ledger)
	n.compare(t, singles.Ledger)

	r.keepsScale(t, 3)
}
