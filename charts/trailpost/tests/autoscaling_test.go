package chart_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// scaledObject is what of KEDA's we set.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ScaleTargetRef                   struct{ Name string }
		MinReplicaCount, MaxReplicaCount int
		Advanced                         map[string]any
		Triggers                         []struct {
			Type, Name, MetricType string
			Metadata               map[string]string
			AuthenticationRef      *struct{ Name string }
		}
	}
}

const byPrometheus = "consumer.autoscaling.enabled=true,consumer.autoscaling.prometheus.serverAddress=http://prometheus:9090"

func TestConsumersScaleByLagAndWaitingEvents(t *testing.T) {
	objects := parse(t, mustTemplate(t, "--set", byPrometheus, "--set", "consumer.autoscaling.prometheus.eventsPerReplica=2000000"))
	if replicas := as[appsv1.Deployment](t, find(t, objects, "Deployment/trailpost-consumer")).Spec.Replicas; replicas != nil {
		t.Errorf("the Deployment says %d replicas, against the ScaledObject", *replicas)
	}
	scaled := as[scaledObject](t, find(t, objects, "ScaledObject/trailpost-consumer"))
	if scaled.Spec.ScaleTargetRef.Name != "trailpost-consumer" || scaled.Spec.MinReplicaCount != 1 || len(scaled.Spec.Triggers) != 2 {
		t.Fatalf("%+v", scaled)
	}
	for i, want := range []struct{ name, metricType, threshold, series string }{
		{"lag", "Value", "10", `trailpost_oldest_event_in_hand_seconds{namespace="audit",job=~"trailpost-(producer|consumer)"}`},
		{"waiting", "AverageValue", "2000000", `trailpost_message_events_sum{namespace="audit",job=~"trailpost-(producer|consumer)",direction="published"}`},
	} {
		got := scaled.Spec.Triggers[i]
		if got.Type != "prometheus" || got.Name != want.name || got.MetricType != want.metricType || got.Metadata["threshold"] != want.threshold {
			t.Errorf("trigger %d is %+v, want %+v", i, got, want)
		}
		if !strings.Contains(got.Metadata["query"], want.series) {
			t.Errorf("%s does not ask for %s: %s", want.name, want.series, got.Metadata["query"])
		}
		// An answer that is missing must not look like 0 and take consumers away.
		if got.Metadata["ignoreNullValues"] != "false" {
			t.Errorf("%s: ignoreNullValues is %q", want.name, got.Metadata["ignoreNullValues"])
		}
	}
}

func TestConsumersScaleByRabbitMQ(t *testing.T) {
	const trigger = "consumer.autoscaling.enabled=true,consumer.autoscaling.trigger=rabbitmq"
	tests := map[string]struct {
		args       []string
		host, auth string
		own        bool
	}{
		"the subchart's": {host: "amqp://trailpost-rabbitmq:5672/", auth: "trailpost-consumer", own: true},
		"another": {
			args: []string{"-f", chart + "/values-external.yaml", "--set", "consumer.autoscaling.rabbitmq.authenticationRef=keda,externalRabbitmq.host=broker,externalRabbitmq.tls.enabled=true"},
			host: "amqps://broker:5671/", auth: "keda",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := parse(t, mustTemplate(t, append([]string{"--set", trigger}, test.args...)...))
			got := as[scaledObject](t, find(t, objects, "ScaledObject/trailpost-consumer")).Spec.Triggers[0]
			if got.Metadata["host"] != test.host || got.AuthenticationRef == nil || got.AuthenticationRef.Name != test.auth {
				t.Errorf("%+v", got)
			}
			var own bool
			for _, o := range objects {
				own = own || o.Kind == "TriggerAuthentication"
			}
			if own != test.own {
				t.Errorf("a TriggerAuthentication of the chart's: %t, want %t", own, test.own)
			}
		})
	}
}
