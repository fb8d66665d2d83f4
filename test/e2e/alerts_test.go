//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/trailpost/trailpost/test/ledger"
)

// TestAlerts makes six alerts fire for real, by what they are there for, while a client
// goes on. What the rules say of how long to wait is cut short.
func TestAlerts(t *testing.T) {
	t.Parallel()
	m := needMonitoring(t)
	n := newNamespace(t)
	values := append(slices.Clip(monitored), "metrics.prometheusRule.enabled=true")
	for _, alert := range []string{
		"TrailpostDeadLetters", "TrailpostNoConsumer", "TrailpostPublishFailing", "TrailpostDatabaseUnavailable",
		"TrailpostBrokerAlarm", "TrailpostPartitionsRunningOut",
	} {
		values = append(values, "metrics.prometheusRule.for."+alert+"=5s")
	}
	newRelease(n, machine.helm, buildCurrent(t), values...).install(t)
	url := n.openDoor(t)
	c := n.newClient(t, url)
	stop, _ := c.Start(t.Context(), ledger.Pace{PerSecond: 100, Batch: 10})
	defer stop()
	fires := func(alert string) {
		t.Helper()
		m.fires(t, n.name, alert)
	}
	ctl := func(args ...string) {
		t.Helper()
		if _, err := n.exec(t.Context(), "trailpost-rabbitmq-0", "rabbitmq", append([]string{"rabbitmqctl"}, args...)...); err != nil {
			t.Fatal(err)
		}
	}

	n.trouble(t, url)
	fires("TrailpostDeadLetters")

	n.scale(t, "trailpost-consumer", 0)
	fires("TrailpostNoConsumer")
	ctl("set_operator_policy", "--apply-to", "queues", "full", "^log_queue$", `{"max-length-bytes": 1000}`)
	fires("TrailpostPublishFailing")
	ctl("clear_operator_policy", "full")
	n.scale(t, "trailpost-consumer", 1)
	n.waitDeployment(t, "trailpost-consumer")

	n.scaleStatefulSet(t, "trailpost-postgresql", 0)
	fires("TrailpostDatabaseUnavailable")
	n.scaleStatefulSet(t, "trailpost-postgresql", 1)
	n.waitPod(t, "trailpost-postgresql-0")

	ctl("set_vm_memory_high_watermark", "0.00001")
	fires("TrailpostBrokerAlarm")
	ctl("set_vm_memory_high_watermark", "0.6")

	const months = `DO $$ DECLARE partition regclass; used boolean; BEGIN
		FOR partition IN SELECT relid FROM pg_partition_tree('log_events') WHERE isleaf AND relid <> 'log_events_default'::regclass LOOP
			EXECUTE format('SELECT EXISTS (SELECT FROM %s)', partition) INTO used;
			IF NOT used THEN EXECUTE format('DROP TABLE %s', partition); END IF;
		END LOOP; END $$`
	if _, err := n.exec(t.Context(), "trailpost-postgresql-0", "postgresql", "psql", "-U", "postgres", "-d", "code_reviewer_logs", "-c", months); err != nil {
		t.Fatal(err)
	}
	fires("TrailpostPartitionsRunningOut")

	stop()
	n.stored(t, c.Ledger)
}

// fires waits until an alert of a namespace fires.
func (m *monitoring) fires(t *testing.T, namespace, alert string) {
	t.Helper()
	started := time.Now()
	eventually(t, 4*time.Minute, alert+" fires", func(ctx context.Context) (bool, error) {
		samples, err := m.vector(ctx, fmt.Sprintf(`ALERTS{namespace=%q,alertname=%q,alertstate="firing"}`, namespace, alert))
		return len(samples) > 0, err
	})
	t.Logf("%s fires after %s", alert, time.Since(started).Round(time.Second))
}

func (n *namespace) scaleStatefulSet(t *testing.T, name string, replicas int) {
	t.Helper()
	patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
	options := metav1.PatchOptions{FieldManager: "kubectl"}
	if _, err := n.AppsV1().StatefulSets(n.name).Patch(t.Context(), name, types.MergePatchType, patch, options, "scale"); err != nil {
		t.Fatal(err)
	}
}
