//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/trailpost/trailpost/test/ledger"
)

// TestUpgrade goes from the last release's chart and images to this tree's under load, back
// by a rollback, and there again. Not every release brings a migration, so the new image is
// this tree with one more: it adds a column to the trail, which has to wait for the
// consumers' transactions and makes them wait.
//
// PostgreSQL is killed on the way there, and RabbitMQ on the way back. Meanwhile events come
// that the last release's consumers can't store: each is a row or a dead letter, and in the end
// a row.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	t.Logf("from %s", machine.previous)
	tree := extractCommit(t, machine.previous)
	const previousTag, nextTag, column = "e2e-previous", "e2e-next", "added_by_the_e2e_test"
	buildImages(t, tree, previousTag)
	buildCurrent(t) // before its neighbour, which shares all but a file
	buildImages(t, withMigration(t, "ALTER TABLE log_events ADD COLUMN "+column+" text", "ALTER TABLE log_events DROP COLUMN "+column), nextTag)

	previous := newRelease(n, machine.helm, previousTag, besideOthers...)
	previous.chart = filepath.Join(tree, "charts", "trailpost")
	previous.install(t)
	passwords, first := n.passwords(t), previous.revision(t)

	url := n.openDoor(t)
	batches, singles := n.newClient(t, url), n.newClient(t, url)
	stopBatches, _ := batches.Start(t.Context(), ledger.Pace{PerSecond: 200, Batch: 50})
	stopSingles, _ := singles.Start(t.Context(), ledger.Pace{PerSecond: 100, Batch: 1})
	defer stopBatches()
	defer stopSingles()
	strangers := n.startRecords(t)
	defer strangers.stop()
	n.waitDeadRecords(t, 20)
	migrated := "SELECT FROM pg_attribute WHERE attrelid = 'log_events'::regclass AND attname = '" + column + "'"
	if n.exists(t, migrated) {
		t.Fatal("the column is there before the upgrade: this test does not test what it says")
	}

	values := slices.Clip(besideOthers)
	if singles.Header == nil { // what came before asked for no key, and its clients have none
		values = append(values, "producer.apiKeys.enabled=false")
	}
	next := newRelease(n, machine.helm, nextTag, values...)
	n.killOnceRuns(t, "trailpost-postgresql-0", nextTag, func() { next.upgrade(t) })
	// The consumers do without the column, so that nobody has waited for the Job.
	eventually(t, 2*time.Minute, "the upgrade has migrated", func(ctx context.Context) (bool, error) { return n.finds(ctx, t, migrated) })
	before := singles.Accepted()
	n.runs(t, nextTag)

	n.killOnceRuns(t, "trailpost-rabbitmq-0", previousTag, func() { next.rollback(t, first) })
	n.runs(t, previousTag)
	if !n.exists(t, migrated) {
		t.Error("the rollback has taken the migration back, and its data with it")
	}
	if singles.Accepted() == before {
		t.Error("no event was accepted during the rollback: this test does not test what it says")
	}
	queues, err := n.queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n.waitDeadRecords(t, queues["log_queue.dead"]+10) // by consumers of the last release, again
	next.upgrade(t)
	n.runs(t, nextTag)
	published := strangers.end(t)
	n.replayRecords(t)
	stopBatches()
	stopSingles()
	n.storedRecords(t, published)
	n.compare(t, batches.Ledger)
	n.compare(t, singles.Ledger)
	if got := n.passwords(t); !maps.Equal(got, passwords) {
		t.Error("a password is another after the upgrade or the rollback")
	}
}

// killOnceRuns replaces pods, and kills a server's pod when the first of the new ones is there.
func (n *namespace) killOnceRuns(t *testing.T, pod, tag string, replace func()) {
	t.Helper()
	former := make(map[types.UID]bool)
	ours := map[string]string{"app.kubernetes.io/instance": "trailpost"}
	pods, err := n.pods(t.Context(), ours)
	if err != nil {
		t.Fatal(err)
	}
	for i := range pods {
		former[pods[i].UID] = true
	}
	ctx, cancel := context.WithCancel(t.Context())
	killed := make(chan error, 1)
	go func() {
		err := until(ctx, "a new pod has the tag "+tag, func(ctx context.Context) (bool, error) {
			pods, err := n.pods(ctx, ours)
			return slices.ContainsFunc(pods, func(p corev1.Pod) bool {
				return !former[p.UID] && strings.HasSuffix(p.Spec.Containers[0].Image, ":"+tag)
			}), err
		})
		if err == nil {
			err = n.kill(ctx, pod)
		}
		killed <- err
	}()
	replace()
	cancel()
	if err := <-killed; err != nil {
		t.Errorf("%s was not killed meanwhile: %v", pod, err)
	}
	n.waitPod(t, pod)
}

// withMigration is a copy of this tree with one more migration.
func withMigration(t *testing.T, up, down string) (dir string) {
	t.Helper()
	dir = copySource(t)
	files, err := filepath.Glob(filepath.Join(dir, "migrations", "*.up.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	var newest int
	if _, err := fmt.Sscanf(filepath.Base(slices.Max(files)), "%06d_", &newest); err != nil {
		t.Fatal(err)
	}
	for direction, sql := range map[string]string{"up": up, "down": down} {
		name := fmt.Sprintf("%06d_e2e.%s.sql", newest+1, direction)
		if err := os.WriteFile(filepath.Join(dir, "migrations", name), []byte(sql+";\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runs wants every pod of ours to run an image with the tag.
func (n *namespace) runs(t *testing.T, tag string) {
	t.Helper()
	for _, service := range services {
		n.waitDeployment(t, "trailpost-"+service)
		pods, err := n.pods(t.Context(), map[string]string{"app.kubernetes.io/instance": "trailpost", "app.kubernetes.io/component": service})
		if err != nil {
			t.Fatal(err)
		}
		for _, pod := range pods {
			if got := pod.Spec.Containers[0].Image; !strings.HasSuffix(got, "/"+service+":"+tag) {
				t.Errorf("pod %s runs %s, want tag %s", pod.Name, got, tag)
			}
		}
	}
}
