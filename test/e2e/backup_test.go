//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trailpost/trailpost/test/ledger"
)

// TestBackupAndRestore: everything is lost but the backup's volume, and what it holds
// comes back on servers that are new; whoever followed the trail goes on.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	r := newRelease(n, machine.helm, buildCurrent(t), append(slices.Clip(besideOthers), "postgresql.backup.enabled=true")...)
	r.install(t)
	before := n.newClient(t, n.openDoor(t))
	before.Pour(t.Context(), nil, ledger.Pace{Events: 20_000, PerSecond: 10_000, Batch: 100})
	n.compare(t, before.Ledger)
	copied := map[string]int64{}
	epoch, _ := n.follow(t, "", copied)

	const cronJob, claim = "trailpost-postgresql-backup", "trailpost-postgresql-backup"
	n.runFrom(t, cronJob, "backup")
	text, err := n.jobLog(t, "backup")
	if err != nil {
		t.Fatal(err)
	}
	_, file, _ := strings.Cut(text, "dumped code_reviewer_logs into ")
	file, _, _ = strings.Cut(file, ",")

	r.uninstall(t)
	claims := n.CoreV1().PersistentVolumeClaims(n.name)
	list, err := claims.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Items {
		if c.Name != claim {
			if err := claims.Delete(t.Context(), c.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, time.Minute, "the servers' volumes are gone", func(ctx context.Context) (bool, error) {
		volumes, err := n.volumes(ctx)
		return len(volumes) == 1, err
	})

	r.install(t)
	if rows, err := n.count(t.Context(), t, before.Ledger); err != nil || rows != 0 {
		t.Fatalf("%d rows on a new volume, %v", rows, err)
	}
	n.scale(t, "trailpost-consumer", 0)
	n.waitDeployment(t, "trailpost-consumer")
	n.runFrom(t, cronJob, "restore", corev1.EnvVar{Name: "RESTORE", Value: file})
	n.scale(t, "trailpost-consumer", 1)
	n.waitDeployment(t, "trailpost-consumer")
	n.compare(t, before.Ledger)

	after := n.newClient(t, before.URL)
	after.Pour(t.Context(), nil, ledger.Pace{Events: 1_000, PerSecond: 1_000, Batch: 100})
	n.compare(t, after.Ledger)
	if _, told := n.follow(t, epoch, copied); !told || len(copied) != 20_000+after.Accepted() {
		t.Errorf("one who followed the trail was told of a new epoch: %v, and has %d events, want %d", told, len(copied), 20_000+after.Accepted())
	}
}

// follow brings a copy up to date as docs/following.md says: from where the epoch says, or from the last row on. The copy has
// the events' tx by their ids. It returns the epoch, and whether it is a new one.
func (n *namespace) follow(t *testing.T, known string, copied map[string]int64) (epoch string, told bool) {
	t.Helper()
	var from, horizon int64
	err := n.query(t.Context(), t, func(r pgx.Rows) error { return r.Scan(&epoch, &from, &told, &horizon) },
		"SELECT epoch, coalesce(from_tx, 0), from_tx IS NOT NULL, trail_horizon() FROM trail_resume($1)", known)
	if err != nil {
		t.Fatal(err)
	}
	if !told {
		for _, tx := range copied {
			from = max(from, tx)
		}
	}
	for id, tx := range copied {
		if told && tx >= from {
			delete(copied, id)
		}
	}
	err = n.query(t.Context(), t, func(r pgx.Rows) error {
		var id string
		var tx int64
		err := r.Scan(&id, &tx)
		copied[id] = tx
		return err
	}, "SELECT event_id::text, tx FROM log_events WHERE tx >= $1 AND tx < $2", from, horizon)
	if err != nil {
		t.Fatal(err)
	}
	return epoch, told
}

// runFrom is `kubectl create job --from=cronjob/…`, and waits until the Job is done.
func (n *namespace) runFrom(t *testing.T, cronJob, name string, env ...corev1.EnvVar) {
	t.Helper()
	from, err := n.BatchV1().CronJobs(n.name).Get(t.Context(), cronJob, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	job := &batchv1.Job{ObjectMeta: from.Spec.JobTemplate.ObjectMeta, Spec: from.Spec.JobTemplate.Spec}
	job.Name = name
	for i := range job.Spec.Template.Spec.Containers {
		c := &job.Spec.Template.Spec.Containers[i]
		c.Env = append(c.Env, env...)
	}
	if _, err := n.BatchV1().Jobs(n.name).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Minute, "Job "+name+" is done", func(ctx context.Context) (bool, error) {
		job, err := n.BatchV1().Jobs(n.name).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, c := range job.Status.Conditions {
			if c.Type == batchv1.JobFailed && c.Status == corev1.ConditionTrue {
				text, _ := n.jobLog(t, name)
				t.Fatalf("Job %s has failed: %s\n%s", name, c.Message, text)
			}
		}
		return job.Status.Succeeded > 0, nil
	})
}

// jobLog is what a Job's last pod has written.
func (n *namespace) jobLog(t *testing.T, job string) (string, error) {
	t.Helper()
	pods, err := n.pods(t.Context(), map[string]string{"batch.kubernetes.io/job-name": job})
	if err != nil {
		return "", err
	}
	if len(pods) == 0 {
		return "", fmt.Errorf("job %s has no pod", job)
	}
	text, err := n.CoreV1().Pods(n.name).GetLogs(pods[len(pods)-1].Name, &corev1.PodLogOptions{}).DoRaw(t.Context())
	return string(text), err
}
