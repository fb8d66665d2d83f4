//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trailpost/trailpost/test/ledger"
)

// TestInstall: one command, and everything is Ready; what NOTES says is true; the
// release may go and come back, and the trail and its passwords have stayed.
func TestInstall(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	r := newRelease(n, machine.helm, buildCurrent(t))
	r.install(t)
	r.followNotes(t)
	r.test(t)
	r.keepsScale(t, 2)
	n.knowsItsMemory(t, "producer")
	n.knowsItsMemory(t, "consumer")

	n.lacksNothing(t)
	n.dropsFromAllQueues(t)
	c := n.newClient(t, n.openDoor(t))
	c.Pour(t.Context(), nil, ledger.Pace{Events: 2000, PerSecond: 2000, Batch: 100})
	n.compare(t, c.Ledger)
	passwords, identity := n.passwords(t), n.secret(t, "trailpost-identity-key")

	r.uninstall(t)
	n.holdsOnlyWhatStays(t)
	r.install(t)
	if got := n.passwords(t); !maps.Equal(got, passwords) {
		t.Error("a password is another after the release came back")
	}
	if got := n.secret(t, "trailpost-identity-key"); !maps.Equal(got, identity) {
		t.Error("the identity key is another after the release came back")
	}
	n.compare(t, c.Ledger) // with the reader's password of the Secret, over TCP
	c.Pour(t.Context(), nil, ledger.Pace{Events: 500, PerSecond: 2000, Batch: 100})
	n.compare(t, c.Ledger)
	r.test(t)
}

// keepsScale scales the consumers, upgrades, and wants the same count afterwards.
func (r *release) keepsScale(t *testing.T, replicas int) {
	t.Helper()
	const consumer = "trailpost-consumer"
	r.scale(t, consumer, replicas)
	r.waitDeployment(t, consumer)
	r.with("consumer.podAnnotations.e2e=upgraded").upgrade(t)
	r.waitDeployment(t, consumer)
	if got := r.replicas(t, consumer); got != replicas {
		t.Errorf("%d consumers after an upgrade, want the %d that it was scaled to", got, replicas)
	}
}

// followNotes runs the commands of the first two steps of NOTES, as they stand, but
// for the local port, which might be taken here.
func (r *release) followNotes(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}

	steps := noteSteps(r.run(t, "get", "notes", "trailpost"))
	if len(steps) < 3 {
		t.Fatalf("NOTES has %d steps, want three commands", len(steps))
	}
	post := strings.NewReplacer("8001:", port+":", "localhost:8001", "localhost:"+port).Replace(steps[0])
	// The port-forward needs a moment, which a person takes to type.
	post = strings.Replace(post, "curl ", "curl --retry 20 --retry-delay 1 --retry-connrefused ", 1)
	out, err := command(t.Context(), "bash", "-c", "trap 'kill %1' EXIT\n"+post)
	if err != nil {
		t.Fatal(err)
	}
	id := regexp.MustCompile(`"event_id":"([0-9a-f-]{36})"`).FindStringSubmatch(out)
	if !strings.Contains(out, " 202 ") || id == nil {
		t.Fatalf("NOTES' first step:\n%s\nanswers:\n%s", steps[0], out)
	}
	eventually(t, time.Minute, "NOTES' second step shows the event", func(ctx context.Context) (bool, error) {
		out, err := command(ctx, "bash", "-c", steps[1])
		return strings.Contains(out, id[1]), err
	})
	if out, err := command(t.Context(), "bash", "-c", steps[2]+" --dry-run=server"); err != nil || !strings.Contains(out, "scaled") {
		t.Errorf("NOTES' third step: %q, %v", out, err)
	}
}

// noteSteps are the commands of NOTES: what is indented by five spaces, after the
// line of its step.
func noteSteps(notes string) (steps []string) {
	for step := range strings.SplitSeq("\n"+notes, "\n\n") {
		lines := strings.Split(strings.Trim(step, "\n"), "\n")
		if slices.IndexFunc(lines, func(line string) bool { return !strings.HasPrefix(line, "     ") }) > 0 {
			lines = lines[:slices.IndexFunc(lines, func(line string) bool { return !strings.HasPrefix(line, "     ") })]
		}
		if strings.HasPrefix(lines[0], "     ") {
			steps = append(steps, strings.Join(lines, "\n"))
		}
	}
	return steps
}

// holdsOnlyWhatStays: after a release is gone, its volumes are there, the Secrets
// with the passwords that open them, and nothing else.
func (n *namespace) holdsOnlyWhatStays(t *testing.T) {
	t.Helper()
	eventually(t, time.Minute, "the pods are gone", func(ctx context.Context) (bool, error) {
		pods, err := n.pods(ctx, nil)
		return err == nil && len(pods) == 0, err
	})
	left, err := command(t.Context(), "kubectl", "--namespace", n.name, "get", "--ignore-not-found", "--output=name",
		"all,configmaps,secrets,serviceaccounts,poddisruptionbudgets,networkpolicies,ingresses,horizontalpodautoscalers,cronjobs,persistentvolumeclaims,roles,rolebindings")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(left) {
		switch {
		case strings.HasPrefix(name, "persistentvolumeclaim/"):
		case slices.Contains([]string{"secret/trailpost-database", "secret/trailpost-postgresql", "secret/trailpost-rabbitmq", "secret/trailpost-producer-keys", "secret/trailpost-identity-key"}, name):
		case name == "configmap/kube-root-ca.crt", name == "serviceaccount/default", name == "service/e2e-door": // not ours
		default:
			t.Errorf("%s has outlived the release", name)
		}
	}
	claims, err := n.CoreV1().PersistentVolumeClaims(n.name).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(claims.Items) < 2 {
		t.Errorf("%d volumes are left, want both servers'", len(claims.Items))
	}
}

// exists says whether a query finds a row.
func (n *namespace) exists(t *testing.T, sql string) bool {
	t.Helper()
	found, err := n.finds(t.Context(), t, sql)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (n *namespace) finds(ctx context.Context, t *testing.T, sql string) (found bool, err error) {
	t.Helper()
	err = n.query(ctx, t, func(pgx.Rows) error { found = true; return nil }, sql)
	return found, err
}
