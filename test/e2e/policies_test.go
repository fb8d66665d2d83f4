//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// looksAtPolicies wants the two services to be let in by the management API, with the rights and through the ways that the
// chart makes, so that they know what their queues are under.
func (n *namespace) looksAtPolicies(t *testing.T) {
	t.Helper()
	for _, service := range services {
		text, err := n.CoreV1().Pods(n.name).GetLogs(n.podOf(t, service), &corev1.PodLogOptions{Container: service}).DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "not looked at") {
			t.Errorf("the %s does not look at policies:\n%s", service, text)
		}
	}
}

// dropsFromAllQueues sets what an administrator may set for all queues, who does not think of the trail: they would keep one
// message each, for a second. The trail's own policies are above it.
func (n *namespace) dropsFromAllQueues(t *testing.T) {
	t.Helper()
	const pod = "trailpost-rabbitmq-0"
	_, err := n.exec(t.Context(), pod, "rabbitmq", "rabbitmqctl", "set_policy", "short", ".*",
		`{"max-length":1,"message-ttl":1000,"overflow":"drop-head","delivery-limit":1}`, "--priority", "10", "--apply-to", "queues")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "each queue is under its own policy", func(ctx context.Context) (bool, error) {
		text, err := n.exec(ctx, pod, "rabbitmq", "rabbitmqctl", "--silent", "--formatter", "json", "list_queues", "name", "policy", "effective_policy_definition")
		if err != nil {
			return false, err
		}
		var queues []struct {
			Name       string         `json:"name"`
			Policy     string         `json:"policy"`
			Definition map[string]any `json:"effective_policy_definition"`
		}
		if err := json.Unmarshal([]byte(text), &queues); err != nil {
			return false, err
		}
		own := map[string]string{"log_queue": "trailpost", "log_queue.dead": "trailpost-dead"}
		for _, q := range queues {
			if q.Policy != own[q.Name] || q.Definition["overflow"] != "reject-publish" || q.Definition["max-length"] != nil || q.Definition["message-ttl"] != nil {
				t.Logf("%+v", q)
				return false, nil
			}
		}
		return len(queues) == len(own), nil
	})
}
