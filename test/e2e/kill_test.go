//go:build e2e

package e2e

import (
	"testing"

	"github.com/trailpost/trailpost/test/ledger"
)

// TestPodsDeleted deletes one pod after the other under load, one node of each
// server: RabbitMQ while it holds over ten thousand events, PostgreSQL, producer and
// consumer.
func TestPodsDeleted(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	newRelease(n, machine.helm, buildCurrent(t), besideOthers...).install(t)
	url := n.openDoor(t)

	const consumer, queued = "trailpost-consumer", 12_000
	n.scale(t, consumer, 0)
	n.waitDeployment(t, consumer)
	full := n.newClient(t, url)
	full.Pour(t.Context(), nil, ledger.Pace{Events: queued, PerSecond: 20_000, Batch: 200})
	singles := n.newClient(t, url)
	stop, _ := singles.Start(t.Context(), ledger.Pace{PerSecond: 100, Batch: 1})
	defer stop()

	if rows, err := n.count(t.Context(), t, full.Ledger); err != nil || rows != 0 || full.Accepted() != queued {
		t.Fatalf("%d events accepted, %d rows, %v: want all on the queue", full.Accepted(), rows, err)
	}
	n.deletePod(t, "trailpost-rabbitmq-0")
	n.waitPod(t, "trailpost-rabbitmq-0")
	n.scale(t, consumer, 1)
	n.waitDeployment(t, consumer)
	t.Logf("RabbitMQ is back, %d single events accepted", singles.Accepted())

	n.deletePod(t, "trailpost-postgresql-0")
	n.waitPod(t, "trailpost-postgresql-0")
	n.waitDeployment(t, consumer)
	t.Logf("PostgreSQL is back, %d single events accepted", singles.Accepted())

	for _, component := range services {
		n.deletePod(t, n.podOf(t, component))
		n.waitDeployment(t, "trailpost-"+component)
		t.Logf("the %s is back, %d single events accepted", component, singles.Accepted())
	}
	stop()
	n.compare(t, full.Ledger)
	n.compare(t, singles.Ledger)
}
