//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// lacksNothing wants the two services to have an identity key, and to be let in by the management API, with the rights and
// through the ways that the chart makes, so that they know what their queues are under.
func (n *namespace) lacksNothing(t *testing.T) {
	t.Helper()
	for _, service := range services {
		pod, last := n.podOf(t, service), 0.0 // it grows, but for an answer
		eventually(t, time.Minute, "the "+service+" has read the policies", func(ctx context.Context) (bool, error) {
			age, err := n.policyAge(ctx, pod)
			if err != nil {
				return false, err
			}
			former := last
			last = age
			return age < former, nil
		})
		text, err := n.CoreV1().Pods(n.name).GetLogs(pod, &corev1.PodLogOptions{Container: service}).DoRaw(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if missing := regexp.MustCompile("(policies of the broker are not looked at|a policy of the broker does harm|IDENTITY_KEY is not set).*").Find(text); missing != nil {
			t.Errorf("the %s says: %s", service, missing)
		}
	}
}

var policyAge = regexp.MustCompile(`(?m)^trailpost_policy_age_seconds (\S+)$`)

// policyAge is the age in seconds of what a pod knows of policies.
func (n *namespace) policyAge(ctx context.Context, pod string) (float64, error) {
	local, stop, err := n.forward(ctx, pod, 8002)
	if err != nil {
		return 0, err
	}
	defer stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", local), http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	age := policyAge.FindSubmatch(text)
	if age == nil {
		return 0, errors.New("there is no trailpost_policy_age_seconds")
	}
	return strconv.ParseFloat(string(age[1]), 64)
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
