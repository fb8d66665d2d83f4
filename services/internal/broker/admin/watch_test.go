package admin

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/brokertest"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestWatchKeepsTheDepth(t *testing.T) {
	v := testbed.Rabbit(t)
	cfg := brokertest.Config(t, v)
	publisher := NewConfirmingPublisher(cfg)
	defer publisher.Close()
	if err := publisher.Publish(t.Context(), cfg.Queue, []broker.Message{{Body: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	shown := prometheus.NewRegistry()
	m := broker.NewMetrics(shown, broker.Publishing)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, cfg, 20*time.Millisecond, m)
	}()
	brokertest.Eventually(t, "the message is counted", func() bool {
		families, err := shown.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				labels := fmt.Sprint(metric.GetLabel())
				if family.GetName() == "trailpost_queue_messages" && strings.Contains(labels, `"log_queue"`) && strings.Contains(labels, `"ready"`) {
					return metric.GetGauge().GetValue() == 1
				}
			}
		}
		return false
	})
	cancel()
	<-done
}
