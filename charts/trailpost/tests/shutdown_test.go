package chart_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
)

// The kubelet kills after the grace period, so that has to hold all that is allowed before.
func TestGracePeriodHoldsTheShutdown(t *testing.T) {
	for assignments, want := range map[string]map[string]int64{
		"logLevel=INFO": {"producer": 5 + 8, "consumer": 8},
		"producer.preStopSeconds=20,producer.shutdownTimeoutSeconds=60,consumer.shutdownTimeoutSeconds=300": {"producer": 80, "consumer": 300},
	} {
		objects := parse(t, mustTemplate(t, "--set", assignments))
		for component, least := range want {
			spec := as[appsv1.Deployment](t, find(t, objects, "Deployment/trailpost-"+component)).Spec.Template.Spec
			if got := *spec.TerminationGracePeriodSeconds; got < least+5 {
				t.Errorf("%s: %s is killed after %d s, and may need %d and a while", assignments, component, got, least)
			}
		}
	}
}
