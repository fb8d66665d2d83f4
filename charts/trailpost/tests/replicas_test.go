package chart_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
)

// A count that the chart does not name is one that an upgrade does not change, whether helm patches or applies.
func TestReplicasAreLeftToWhomeverScales(t *testing.T) {
	tests := map[string]struct {
		args               []string
		producer, consumer *int32
	}{
		"by default":            {},
		"autoscaled producer":   {args: []string{"--set", "producer.autoscaling.enabled=true"}},
		"null":                  {args: []string{"--set", "producer.replicas=null,consumer.replicas=null"}},
		"none":                  {args: []string{"--set", "consumer.replicas=0"}, consumer: new(int32)},
		"numbers":               {args: []string{"--set", "producer.replicas=2,consumer.replicas=3"}, producer: new(int32(2)), consumer: new(int32(3))},
		"the values file of HA": {args: []string{"-f", chart + "/values-ha.yaml"}, consumer: new(int32(2))},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := parse(t, mustTemplate(t, test.args...))
			for component, want := range map[string]*int32{"producer": test.producer, "consumer": test.consumer} {
				got := as[appsv1.Deployment](t, find(t, objects, "Deployment/trailpost-"+component)).Spec.Replicas
				if (got == nil) != (want == nil) || got != nil && *got != *want {
					t.Errorf("%s: replicas is %v, want %v", component, show(got), show(want))
				}
			}
		})
	}
}

func show(n *int32) any {
	if n == nil {
		return "absent"
	}
	return *n
}
