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

	// A batch client and one with an event a request, until the consumers have been scaled.
	url := n.openDoor(t)
	batches, singles := n.newClient(t, url), n.newClient(t, url)
	stopBatches, _ := batches.Start(t.Context(), ledger.Pace{PerSecond: 1_000, Batch: 100})
	stopSingles, _ := singles.Start(t.Context(), ledger.Pace{PerSecond: 60, Batch: 1})
	for _, replicas := range []int{4, 1} {
		n.scale(t, "trailpost-consumer", replicas)
		n.waitDeployment(t, "trailpost-consumer")
		t.Logf("%d consumers, after %d and %d events", replicas, batches.Accepted(), singles.Accepted())
	}
	stopBatches()
	stopSingles()
	n.compare(t, batches.Ledger)
	n.compare(t, singles.Ledger)

	r.keepsScale(t, 3)
}
