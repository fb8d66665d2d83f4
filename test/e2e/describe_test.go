//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// logLines is how much of a container's log a failed test prints.
const logLines = 40

// describe prints what a person would look at first: the pods, the warnings among
// the events, and the logs' ends. Neither it nor log is a t.Helper: hack/e2e knows what
// they print by this file's name.
func (n *namespace) describe(ctx context.Context, t *testing.T) {
	pods, err := n.CoreV1().Pods(n.name).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Logf("listing pods: %v", err)
		return
	}
	var text strings.Builder
	for i := range pods.Items {
		pod := &pods.Items[i]
		fmt.Fprintf(&text, "%-50s %-10s ready %t", pod.Name, pod.Status.Phase, ready(pod))
		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			fmt.Fprintf(&text, ", %s %s", status.Name, state(status))
		}
		text.WriteByte('\n')
	}
	t.Logf("pods of namespace %s:\n%s", n.name, &text)

	text.Reset()
	if events, err := n.CoreV1().Events(n.name).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning"}); err == nil {
		for _, event := range events.Items {
			fmt.Fprintf(&text, "%s %s/%s: %s: %s (%d)\n", event.LastTimestamp.Format("15:04:05"), event.InvolvedObject.Kind, event.InvolvedObject.Name, event.Reason, event.Message, event.Count)
		}
	}
	t.Logf("warnings:\n%s", &text)

	for i := range pods.Items {
		pod := &pods.Items[i]
		for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			n.log(ctx, t, pod.Name, status.Name, false)
			if status.RestartCount > 0 {
				n.log(ctx, t, pod.Name, status.Name, true)
			}
		}
	}
}

func (n *namespace) log(ctx context.Context, t *testing.T, pod, container string, previous bool) {
	lines := int64(logLines)
	text, err := n.CoreV1().Pods(n.name).GetLogs(pod, &corev1.PodLogOptions{Container: container, Previous: previous, TailLines: &lines}).DoRaw(ctx)
	if err != nil {
		return // it has not run
	}
	which := ""
	if previous {
		which = ", before it was restarted"
	}
	t.Logf("log of %s, container %s%s:\n%s", pod, container, which, text)
}

// state is a container's state in a few words.
func state(status corev1.ContainerStatus) string {
	text := fmt.Sprintf("restarted %d times, ", status.RestartCount)
	switch s := status.State; {
	case s.Waiting != nil:
		return text + "waiting: " + s.Waiting.Reason + " " + s.Waiting.Message
	case s.Terminated != nil:
		return text + fmt.Sprintf("ended: %s %d", s.Terminated.Reason, s.Terminated.ExitCode)
	}
	return text + "running"
}
