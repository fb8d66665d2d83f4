//go:build e2e

package e2e

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trailpost/trailpost/test/ledger"
)

// workers are the names of the nodes that do nothing but run pods.
func workers(t *testing.T) (names []string) {
	t.Helper()
	nodes, err := machine.cluster.clientset.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "!node-role.kubernetes.io/control-plane"})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes.Items {
		names = append(names, node.Name)
	}
	return names
}

// TestNodesDrained drains one worker after the other under load, as before their
// maintenance: what can move moves, what has its volume on the node waits for it, and
// nothing is lost.
func TestNodesDrained(t *testing.T) {
	nodes := workers(t)
	if len(nodes) < 2 {
		t.Skip("NOT TESTED: the cluster has not two workers to drain")
	}
	n := newNamespace(t)
	newRelease(n, machine.helm, buildCurrent(t), "producer.replicas=2", "consumer.replicas=2").install(t)
	singles := n.newClient(t, n.openDoor(t))
	stop, _ := singles.Start(t.Context(), ledger.Pace{PerSecond: 100, Batch: 1})
	defer stop()
	for _, node := range nodes {
		n.drain(t, node)
		t.Logf("%s is drained, %d events accepted", node, singles.Accepted())
		uncordon(t, node)
		for _, server := range []string{"trailpost-rabbitmq-0", "trailpost-postgresql-0"} {
			n.waitPod(t, server)
		}
		for _, component := range services {
			n.waitDeployment(t, "trailpost-"+component)
		}
		before := singles.Accepted()
		eventually(t, time.Minute, "events are accepted again", func(context.Context) (bool, error) { return singles.Accepted() > before+100, nil })
	}
	stop()
	n.compare(t, singles.Ledger)
}

// drain is `kubectl drain`. Disruption budgets may hold it up, and must not for ever.
func (n *namespace) drain(t *testing.T, node string) {
	t.Helper()
	t.Cleanup(func() { uncordon(t, node) })
	if _, err := command(t.Context(), "kubectl", "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=4m"); err != nil {
		t.Fatal(err)
	}
	pods, err := n.pods(t.Context(), map[string]string{"app.kubernetes.io/instance": "trailpost"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range pods {
		if pods[i].Spec.NodeName == node && pods[i].DeletionTimestamp == nil && pods[i].Status.Phase == "Running" {
			t.Errorf("pod %s runs on %s, which is drained", pods[i].Name, node)
		}
	}
}

// uncordon is `kubectl uncordon`. It may be said twice, and after the test's end.
func uncordon(t *testing.T, node string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	if _, err := command(ctx, "kubectl", "uncordon", node); err != nil {
		t.Error(err)
	}
}
