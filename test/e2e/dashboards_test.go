//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trailpost/trailpost/test/dashboards"

	"github.com/trailpost/trailpost/test/ledger"
)

// TestDashboards: Grafana's sidecar finds the dashboards, and after a run of two
// minutes every panel of every one finds data in the cluster's Prometheus.
func TestDashboards(t *testing.T) {
	t.Parallel()
	m := needMonitoring(t)
	n := newNamespace(t)
	newRelease(n, machine.helm, buildCurrent(t), append(slices.Clip(monitored), "metrics.dashboards.enabled=true")...).install(t)
	files, err := filepath.Glob(filepath.Join(machine.root, "charts", "trailpost", "dashboards", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	maps, err := n.CoreV1().ConfigMaps(n.name).List(t.Context(), metav1.ListOptions{LabelSelector: "grafana_dashboard=1"})
	if err != nil || len(maps.Items) != len(files) {
		t.Errorf("%d ConfigMaps for Grafana's sidecar, want %d; %v", len(maps.Items), len(files), err)
	}

	url := n.openDoor(t)
	c := n.newClient(t, url)
	stop, _ := c.Start(t.Context(), ledger.Pace{PerSecond: 200, Batch: 10})
	defer stop()
	n.trouble(t, url)
	queries, err := dashboards.Queries(filepath.Join(machine.root, "charts", "trailpost", "dashboards"), dashboards.Values{
		"namespace": n.name, "job": "trailpost-producer|trailpost-consumer",
		"broker_namespace": n.name, "broker": "trailpost-rabbitmq", "__rate_interval": "30s",
	})
	if err != nil {
		t.Fatal(err)
	}
	port, end, err := m.forward(t.Context(), m.pod, 9090)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	// Two minutes of a run, and as long again for a machine that is slow.
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	started := time.Now()
	if err := dashboards.Prometheus(fmt.Sprintf("http://127.0.0.1:%d", port)).Await(ctx, queries); err != nil {
		t.Error(err)
	}
	t.Logf("%d queries have found data within %s", len(queries), time.Since(started).Round(time.Second))
	stop()
	n.stored(t, c.Ledger)
}

// trouble has an event refused, one repeated, and one dead-lettered since its id is
// another's.
func (n *namespace) trouble(t *testing.T, url string) {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	for _, request := range []struct {
		body   string
		status int
	}{
		{`{"event_type":"user_action"}`, http.StatusUnprocessableEntity},
		{fmt.Sprintf(`{"event_id":%q,"session_id":1,"event_type":"user_action"}`, id), http.StatusAccepted},
		{fmt.Sprintf(`{"event_id":%q,"session_id":1,"event_type":"user_action"}`, id), http.StatusAccepted},
		{fmt.Sprintf(`{"event_id":%q,"session_id":1,"event_type":"user_action","payload":{"of":"another"}}`, id), http.StatusAccepted},
	} {
		post, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/log", strings.NewReader(request.body))
		if err != nil {
			t.Fatal(err)
		}
		post.Header = n.credentials(t)
		response, err := http.DefaultClient.Do(post)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != request.status {
			t.Fatalf("%s: %d %s, want %d", request.body, response.StatusCode, text, request.status)
		}
	}
	eventually(t, time.Minute, "a dead letter is there", func(ctx context.Context) (bool, error) {
		queues, err := n.queues(ctx)
		return queues["log_queue.dead"] == 1, err
	})
}
