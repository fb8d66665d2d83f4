//go:build e2e

package e2e

import (
	"context"
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trailpost/trailpost/test/ledger"
)

// enforcers are DaemonSets that make NetworkPolicy objects true.
var enforcers = []string{"kindnet", "kube-router", "calico-node", "cilium"}

func needPolicies(t *testing.T) {
	t.Helper()
	sets, err := machine.cluster.clientset.AppsV1().DaemonSets("kube-system").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range sets.Items {
		if slices.Contains(enforcers, sets.Items[i].Name) {
			return
		}
	}
	t.Skip("NOT TESTED: nothing in the cluster enforces network policies")
}

// cutFor is how long a server can't be reached: longer than anybody's patience with a
// connection, shorter than the client's with the whole.
const cutFor = 20 * time.Second

// TestNetworkCut forbids by a network policy, under load, all ways to RabbitMQ, and then
// all to PostgreSQL. Without the one nothing is accepted, without the other all is, and
// both come back by themselves.
func TestNetworkCut(t *testing.T) {
	t.Parallel()
	needPolicies(t)
	n := newNamespace(t)
	newRelease(n, machine.helm, buildCurrent(t), besideOthers...).install(t)
	singles := n.newClient(t, n.openDoor(t))
	stop, _ := singles.Start(t.Context(), ledger.Pace{PerSecond: 100, Batch: 1})
	defer stop()
	accepts := func(what string) {
		t.Helper()
		before := singles.Accepted()
		eventually(t, time.Minute, "events are accepted "+what, func(context.Context) (bool, error) { return singles.Accepted() > before+200, nil })
	}
	accepts("at first")

	mend := n.cut(t, "rabbitmq")
	eventually(t, time.Minute, "requests are refused", func(context.Context) (bool, error) { return singles.Answers("503") > 0, nil })
	before := singles.Accepted()
	time.Sleep(cutFor) // what is asked for
	if more := singles.Accepted() - before; more > 0 {
		t.Errorf("%d events were accepted while no way led to RabbitMQ", more)
	}
	mend()
	accepts("when RabbitMQ can be reached again")

	mend = n.cut(t, "postgresql")
	rows, err := n.count(t.Context(), t, singles.Ledger)
	if err != nil {
		t.Fatal(err)
	}
	accepts("while no way leads to PostgreSQL")
	time.Sleep(cutFor) // what is asked for
	if more, err := n.count(t.Context(), t, singles.Ledger); err != nil || more > rows {
		t.Errorf("%d rows and then %d (%v) while no way led to PostgreSQL", rows, more, err)
	}
	mend()
	stop()
	n.compare(t, singles.Ledger)
}

// cut forbids new connections with a server and ends those that are there: policies are
// about packets that open one. mend takes the policy back.
func (n *namespace) cut(t *testing.T, server string) (mend func()) {
	t.Helper()
	policies := n.NetworkingV1().NetworkPolicies(n.name)
	_, err := policies.Create(t.Context(), &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "e2e-cut"},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": server}},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Second) // until it is enforced, which nobody tells
	n.deleteConnections(t)
	return func() {
		if err := policies.Delete(t.Context(), "e2e-cut", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}
