//go:build e2e

package e2e

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/trailpost/trailpost/test/ledger"
)

// monitored are the values by which Prometheus sees a release, closely.
var monitored = append(slices.Clip(besideOthers),
	"metrics.serviceMonitor.enabled=true", "metrics.serviceMonitor.interval=5s",
	"rabbitmq.metrics.serviceMonitor.enabled=true", "rabbitmq.metrics.serviceMonitor.interval=5s",
)

// loadTime is how long the events come twice as fast as one consumer stores them.
func loadTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("TRAILPOST_E2E_LOAD")
	if text == "" {
		return 90 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestAutoscaling: under twice the load that one consumer bears there are soon more of
// them, who drain the queue, and then one again.
func TestAutoscaling(t *testing.T) {
	t.Parallel()
	m := needMonitoring(t)
	n := newNamespace(t)
	// A consumer that is slow enough for this machine to be twice as fast.
	r := newRelease(n, machine.helm, buildCurrent(t), append(slices.Clip(monitored),
		"consumer.resources.requests.cpu=20m", "consumer.resources.limits.cpu=30m")...)
	r.install(t)
	url := n.openDoor(t)
	rate := n.drainRate(t, url)

	r.with("consumer.autoscaling.enabled=true", "consumer.autoscaling.prometheus.serverAddress="+m.url(),
		"consumer.autoscaling.maxReplicas=6",
		"consumer.autoscaling.behavior.scaleDown.stabilizationWindowSeconds=15",
		"consumer.autoscaling.behavior.scaleDown.policies[0].periodSeconds=15",
		"consumer.autoscaling.behavior.scaleDown.policies[0].type=Percent",
		"consumer.autoscaling.behavior.scaleDown.policies[0].value=50").upgrade(t)
	started, duration := time.Now(), loadTime(t)
	c := n.newClient(t, url)
	stop, _ := c.Start(t.Context(), ledger.Pace{PerSecond: 2 * rate, Batch: 200})
	defer stop()
	const consumer, many = "trailpost-consumer", 3
	most := 0
	eventually(t, duration+3*time.Minute, "the load is over and there were three consumers", func(context.Context) (bool, error) {
		most = max(most, n.replicas(t, consumer))
		return most >= many && time.Since(started) > duration, nil
	})
	stop()
	t.Logf("%d events in %s, %d a second; up to %d consumers", c.Accepted(), time.Since(started).Round(time.Second),
		int(float64(c.Accepted())/time.Since(started).Seconds()), most)
	n.compare(t, c.Ledger)
	eventually(t, 5*time.Minute, "there is one consumer again", func(context.Context) (bool, error) {
		return n.replicas(t, consumer) == 1, nil
	})
}

// drainRate is how many events the consumer stores in a second from a queue that is full.
func (n *namespace) drainRate(t *testing.T, url string) (perSecond int) {
	t.Helper()
	const consumer, events = "trailpost-consumer", 20_000
	n.scale(t, consumer, 0)
	n.waitDeployment(t, consumer)
	c := n.newClient(t, url)
	c.Pour(t.Context(), nil, ledger.Pace{Events: events, PerSecond: 20_000, Batch: 200})
	n.scale(t, consumer, 1)
	var first, last time.Time
	var before, rows int
	eventually(t, 3*time.Minute, "the queue is drained", func(ctx context.Context) (bool, error) {
		var err error
		rows, err = n.count(ctx, t, c.Ledger)
		last = time.Now()
		if first.IsZero() && rows > 0 {
			first, before = last, rows
		}
		return rows >= events, err
	})
	perSecond = events
	if seconds := last.Sub(first).Seconds(); seconds > 0 {
		perSecond = int(float64(rows-before) / seconds)
	}
	t.Logf("a consumer stores %d events in a second", perSecond)
	return perSecond
}
