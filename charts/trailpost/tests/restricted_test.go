package chart_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// The very checks of a namespace labelled pod-security.kubernetes.io/enforce: restricted.
func TestEveryPodIsRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	inEachSet(t, func(t *testing.T, objects []object) {
		for _, p := range pods(t, objects) {
			for _, result := range evaluator.EvaluatePod(restricted, &p.metadata, &p.spec) {
				if !result.Allowed {
					t.Errorf("%s: %s: %s", p.of, result.ForbiddenReason, result.ForbiddenDetail)
				}
			}
		}
	})
}

// What the standard leaves open.
func TestEveryPodIsConfined(t *testing.T) {
	inEachSet(t, func(t *testing.T, objects []object) {
		for _, p := range pods(t, objects) {
			if yes := p.spec.AutomountServiceAccountToken; yes == nil || *yes {
				t.Errorf("%s: its pods get a token for the Kubernetes API", p.of)
			}
			if yes := p.spec.EnableServiceLinks; yes == nil || *yes {
				t.Errorf("%s: its pods get variables that are named as services are", p.of)
			}
			for _, c := range p.containers() {
				confined(t, p.of+": "+c.Name, c)
			}
		}
		for _, o := range objects {
			if o.Kind == "ServiceAccount" {
				if yes := as[corev1.ServiceAccount](t, o).AutomountServiceAccountToken; yes == nil || *yes {
					t.Errorf("%s mounts its token", o.id())
				}
			}
		}
	})
}

func confined(t *testing.T, name string, c corev1.Container) {
	t.Helper()
	if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
		t.Errorf("%s: its root file system can be written", name)
	}
	if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s: no request for CPU and memory, or no limit of memory", name)
	}
}
