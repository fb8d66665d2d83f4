//go:build e2e

package e2e

import (
	"regexp"
	"strconv"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// knowsItsMemory wants Go's garbage collector to keep within 0.9 of the container's limit.
func (n *namespace) knowsItsMemory(t *testing.T, component string) {
	t.Helper()
	name := n.podOf(t, component)
	pod, err := n.CoreV1().Pods(n.name).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	port := ""
	for _, p := range pod.Spec.Containers[0].Ports {
		if p.Name == "metrics" {
			port = strconv.Itoa(int(p.ContainerPort))
		}
	}
	want := 0.9 * pod.Spec.Containers[0].Resources.Limits.Memory().AsApproximateFloat64()
	metrics, err := n.CoreV1().Pods(n.name).ProxyGet("http", name, port, "/metrics", nil).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^go_gc_gomemlimit_bytes (.*)$`).FindSubmatch(metrics)
	if line == nil {
		t.Fatalf("%s shows no go_gc_gomemlimit_bytes", name)
	}
	if got, err := strconv.ParseFloat(string(line[1]), 64); err != nil || got < want-1 || got > want+1 {
		t.Errorf("%s: the garbage collector's limit is %s bytes, want %.0f", name, line[1], want)
	}
}
