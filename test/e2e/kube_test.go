//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/exec"
)

// until asks every half second until the answer is yes. An error is asked about
// again: much is away for a moment in these tests. what completes "waiting until".
func until(ctx context.Context, what string, ask func(context.Context) (bool, error)) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, 500*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		done, err := ask(ctx)
		if err != nil && ctx.Err() != nil && last != nil {
			return false, nil // the end of the time is not the reason
		}
		last = err
		return done && err == nil, nil
	})
	switch {
	case err == nil:
		return nil
	case last != nil:
		return fmt.Errorf("waiting until %s: %w (last: %w)", what, err, last)
	}
	return fmt.Errorf("waiting until %s: %w", what, err)
}

// eventually is until with a limit, and fails the test.
func eventually(t *testing.T, limit time.Duration, what string, ask func(context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := until(ctx, what, ask); err != nil {
		t.Fatal(err)
	}
}

// scale is `kubectl scale deployment`. It does not wait.
func (n *namespace) scale(t *testing.T, deployment string, replicas int) {
	t.Helper()
	patch := []byte(`{"spec":{"replicas":` + strconv.Itoa(replicas) + `}}`)
	options := metav1.PatchOptions{FieldManager: "kubectl"}
	if _, err := n.AppsV1().Deployments(n.name).Patch(t.Context(), deployment, types.MergePatchType, patch, options, "scale"); err != nil {
		t.Fatal(err)
	}
}

// replicas is how many a Deployment is meant to have.
func (n *namespace) replicas(t *testing.T, deployment string) int {
	t.Helper()
	d, err := n.AppsV1().Deployments(n.name).Get(t.Context(), deployment, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return int(*d.Spec.Replicas)
}

// waitDeployment waits until a Deployment has exactly the pods that it is meant to
// have, all of the newest kind and available.
func (n *namespace) waitDeployment(t *testing.T, name string) {
	t.Helper()
	eventually(t, 2*time.Minute, "deployment "+name+" is as it should be", func(ctx context.Context) (bool, error) {
		d, err := n.AppsV1().Deployments(n.name).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		want := *d.Spec.Replicas
		got := appsv1.DeploymentStatus{Replicas: want, UpdatedReplicas: want, AvailableReplicas: want}
		s := d.Status
		if s.ObservedGeneration < d.Generation || s.Replicas != got.Replicas || s.UpdatedReplicas != want || s.AvailableReplicas != want {
			return false, nil
		}
		// Those that are on their way out are no longer in the status.
		pods, err := n.pods(ctx, d.Spec.Selector.MatchLabels)
		return len(pods) == int(want), err
	})
}

// pods are those that bear the labels, those that are ending included.
func (n *namespace) pods(ctx context.Context, bear map[string]string) ([]corev1.Pod, error) {
	list, err := n.CoreV1().Pods(n.name).List(ctx, metav1.ListOptions{LabelSelector: labels.SelectorFromSet(bear).String()})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// podOf is the name of a ready pod of a component.
func (n *namespace) podOf(t *testing.T, component string) (name string) {
	t.Helper()
	eventually(t, time.Minute, "a pod of "+component+" is ready", func(ctx context.Context) (bool, error) {
		pods, err := n.pods(ctx, map[string]string{"app.kubernetes.io/instance": "trailpost", "app.kubernetes.io/component": component})
		for i := range pods {
			if pods[i].DeletionTimestamp == nil && ready(&pods[i]) {
				name = pods[i].Name
				return true, nil
			}
		}
		return false, err
	})
	return name
}

func ready(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// deletePod is `kubectl delete pod`, and waits until it is gone. Its successor may
// bear the same name.
func (n *namespace) deletePod(t *testing.T, name string) {
	t.Helper()
	n.endPod(t, name, func(ctx context.Context) error {
		return n.CoreV1().Pods(n.name).Delete(ctx, name, metav1.DeleteOptions{})
	})
}

// killPod gives the pod's server no time to end, and waits until the pod is gone.
func (n *namespace) killPod(t *testing.T, name string) {
	t.Helper()
	n.endPod(t, name, func(ctx context.Context) error { return n.kill(ctx, name) })
}

// kill sends a pod's server SIGKILL and deletes the pod. It does not force the deletion, which
// would not wait for the server's end: the next pod's would write to the same volume beside it.
func (n *namespace) kill(ctx context.Context, name string) error {
	pod, err := n.CoreV1().Pods(n.name).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(machine.cluster.nodes, func(node nodes.Node) bool { return node.String() == pod.Spec.NodeName })
	if i < 0 || len(pod.Status.ContainerStatuses) != 1 {
		return fmt.Errorf("pod %s has %d containers on node %s, want one on one of ours", name, len(pod.Status.ContainerStatuses), pod.Spec.NodeName)
	}
	id := strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://")
	if out, err := exec.CombinedOutputLines(machine.cluster.nodes[i].CommandContext(ctx, "crictl", "--timeout=1m", "stop", "--timeout=0", id)); err != nil {
		return fmt.Errorf("crictl stop: %w: %s", err, strings.Join(out, "\n"))
	}
	return n.CoreV1().Pods(n.name).Delete(ctx, name, *metav1.NewDeleteOptions(1))
}

func (n *namespace) endPod(t *testing.T, name string, end func(context.Context) error) {
	t.Helper()
	pods := n.CoreV1().Pods(n.name)
	before, err := pods.Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := end(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Minute, "pod "+name+" is gone", func(ctx context.Context) (bool, error) {
		now, err := pods.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return err == nil && now.UID != before.UID, err
	})
}

// waitPod waits until a pod with that name is ready.
func (n *namespace) waitPod(t *testing.T, name string) {
	t.Helper()
	eventually(t, 3*time.Minute, "pod "+name+" is ready", func(ctx context.Context) (bool, error) {
		pod, err := n.CoreV1().Pods(n.name).Get(ctx, name, metav1.GetOptions{})
		return err == nil && pod.DeletionTimestamp == nil && ready(pod), err
	})
}

// exec runs a command in a container and returns its standard output.
func (n *namespace) exec(ctx context.Context, pod, container string, command ...string) (string, error) {
	url := n.CoreV1().RESTClient().Post().Resource("pods").Namespace(n.name).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	executor, err := remotecommand.NewWebSocketExecutor(machine.cluster.rest, http.MethodGet, url.String())
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}); err != nil {
		return stdout.String(), fmt.Errorf("%s in pod %s: %w\n%s", command[0], pod, err, &stderr)
	}
	return stdout.String(), nil
}

// forward forwards a free local port to a pod's until stop is called.
func (n *namespace) forward(ctx context.Context, pod string, port int) (local uint16, stop func(), err error) {
	transport, upgrader, err := spdy.RoundTripperFor(machine.cluster.rest)
	if err != nil {
		return 0, nil, err
	}
	url := n.CoreV1().RESTClient().Post().Resource("pods").Namespace(n.name).Name(pod).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	stopped, isReady := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:" + strconv.Itoa(port)}, stopped, isReady, io.Discard, io.Discard)
	if err != nil {
		return 0, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	stop = func() { close(stopped); <-ended }
	select {
	case err := <-ended:
		return 0, nil, fmt.Errorf("forwarding to pod %s: %w", pod, err)
	case <-ctx.Done():
		stop()
		return 0, nil, ctx.Err()
	case <-isReady:
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		stop()
		return 0, nil, err
	}
	return ports[0].Local, stop, nil
}

// openDoor makes a way to the producer from outside, and returns its URL: a Service
// with a port on every node, for the same pods as the chart's own.
func (n *namespace) openDoor(t *testing.T) (url string) {
	t.Helper()
	own, err := n.CoreV1().Services(n.name).Get(t.Context(), "trailpost-producer", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ports := own.Spec.Ports
	for i := range ports {
		ports[i].NodePort = 0
	}
	door, err := n.CoreV1().Services(n.name).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "e2e-door"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort, Selector: own.Spec.Selector, Ports: ports},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	url = "http://" + net.JoinHostPort(machine.cluster.address, strconv.Itoa(int(door.Spec.Ports[0].NodePort)))
	eventually(t, 5*time.Minute, "the producer is ready for clients outside", func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", http.NoBody)
		if err != nil {
			return false, err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, err
		}
		return response.StatusCode == http.StatusOK, response.Body.Close()
	})
	return url
}

// identity is a pod's UID and how often its containers were restarted: another pod of
// the same name has another.
func (n *namespace) identity(t *testing.T, pod string) string {
	t.Helper()
	p, err := n.CoreV1().Pods(n.name).Get(t.Context(), pod, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	restarts := int32(0)
	for _, status := range p.Status.ContainerStatuses {
		restarts += status.RestartCount
	}
	return fmt.Sprintf("%s/%s/%d", pod, p.UID, restarts)
}
