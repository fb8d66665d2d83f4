package chart_test

import (
	"fmt"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func policies(t *testing.T, objects []object) []networkingv1.NetworkPolicy {
	t.Helper()
	var found []networkingv1.NetworkPolicy
	for _, o := range objects {
		if o.Kind == "NetworkPolicy" {
			found = append(found, as[networkingv1.NetworkPolicy](t, o))
		}
	}
	return found
}

func selects(t *testing.T, selector metav1.LabelSelector, p pod) bool {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(labels.Set(p.metadata.Labels))
}

func TestEveryPodHasItsNetworkPolicy(t *testing.T) {
	objects := parse(t, mustTemplate(t, "-f", "testdata/everything-on.yaml"))
	all := policies(t, objects)
	for _, p := range pods(t, objects) {
		n := 0
		for _, policy := range all {
			if selects(t, policy.Spec.PodSelector, p) {
				n++
				if len(policy.Spec.PolicyTypes) != 2 {
					t.Errorf("%s says nothing of one direction", policy.Name)
				}
			}
		}
		if n != 1 {
			t.Errorf("%s has %d policies", p.of, n)
		}
	}
	if off := policies(t, parse(t, mustTemplate(t))); len(off) > 0 {
		t.Errorf("%d policies by default", len(off))
	}
}

// All may ask DNS, at the ports of the cluster.
func TestPoliciesLetAllAskDNS(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []int32
	}{{nil, []int32{53, 5353}}, {[]string{"--set", "global.dnsPorts={9053}"}, []int32{9053}}} {
		all := policies(t, parse(t, mustTemplate(t, append([]string{"-f", "testdata/everything-on.yaml"}, c.args...)...)))
		if len(all) < 6 {
			t.Errorf("%d policies", len(all))
		}
		for _, p := range all {
			if len(p.Spec.Egress) == 0 {
				continue // PostgreSQL asks nobody
			}
			open := map[string]bool{}
			for _, rule := range p.Spec.Egress {
				if len(rule.To) > 0 {
					continue
				}
				for _, port := range rule.Ports {
					open[fmt.Sprint(*port.Protocol, port.Port.IntVal)] = true
				}
			}
			for _, port := range c.want {
				if !open[fmt.Sprint("UDP", port)] || !open[fmt.Sprint("TCP", port)] {
					t.Errorf("%s: DNS at %d is shut: %v", p.Name, port, open)
				}
			}
		}
	}
}

// Who has to reach whom, by its policy's way out and the other's way in.
func TestPoliciesLetTheTrailThrough(t *testing.T) {
	objects := parse(t, mustTemplate(t, "-f", "testdata/everything-on.yaml"))
	all := policies(t, objects)
	named := map[string]pod{}
	for _, p := range pods(t, objects) {
		if p.metadata.Labels["app.kubernetes.io/name"] == "trailpost" {
			named[p.metadata.Labels["app.kubernetes.io/component"]] = p
		} else if p.of == "StatefulSet/trailpost-rabbitmq" || p.of == "StatefulSet/trailpost-postgresql" {
			named[p.metadata.Labels["app.kubernetes.io/name"]] = p
		}
	}
	for _, way := range []struct {
		from, to string
		port     int32
		open     bool
	}{
		{"producer", "rabbitmq", 5672, true},
		{"consumer", "rabbitmq", 5672, true},
		{"producer", "rabbitmq", 15672, true},
		{"consumer", "rabbitmq", 15672, true},
		{"consumer", "postgresql", 5432, true},
		{"migrate", "postgresql", 5432, true},
		{"partitions", "postgresql", 5432, true},
		{"test", "postgresql", 5432, true},
		{"test", "producer", 8001, true},
		{"test", "producer", 8002, false},
		{"producer", "postgresql", 5432, false},
		{"migrate", "rabbitmq", 5672, false},
		{"migrate", "rabbitmq", 15672, false},
		{"producer", "rabbitmq", 15692, false},
		{"partitions", "rabbitmq", 5672, false},
		{"consumer", "producer", 8001, false},
	} {
		from, to := named[way.from], named[way.to]
		if from.of == "" || to.of == "" {
			t.Fatalf("no pod of %s or of %s", way.from, way.to)
		}
		if out, in := reaches(t, all, from, to, way.port); (out && in) != way.open {
			t.Errorf("%s to %s:%d: out %v, in %v", way.from, way.to, way.port, out, in)
		}
	}
}

// reaches says whether policies let a pod's packets out to another's port, and in there.
func reaches(t *testing.T, all []networkingv1.NetworkPolicy, from, to pod, port int32) (out, in bool) {
	t.Helper()
	for _, policy := range all {
		if selects(t, policy.Spec.PodSelector, from) {
			for _, rule := range policy.Spec.Egress {
				out = out || ports(rule.Ports, port) && peers(t, rule.To, to)
			}
		}
		if selects(t, policy.Spec.PodSelector, to) {
			for _, rule := range policy.Spec.Ingress {
				in = in || ports(rule.Ports, port) && peers(t, rule.From, from)
			}
		}
	}
	return out, in
}

func ports(rules []networkingv1.NetworkPolicyPort, port int32) bool {
	for _, rule := range rules {
		if rule.Port == nil || rule.Port.IntVal == port {
			return true
		}
	}
	return len(rules) == 0
}

// peers reports whether a pod of this namespace is among them. A namespaceSelector is taken for another namespace.
func peers(t *testing.T, peers []networkingv1.NetworkPolicyPeer, p pod) bool {
	t.Helper()
	for _, peer := range peers {
		if peer.PodSelector != nil && peer.NamespaceSelector == nil && selects(t, *peer.PodSelector, p) {
			return true
		}
	}
	return len(peers) == 0
}
