package chart_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Server-side apply, which Helm 4 uses, takes each name once.
func TestNoVariableTwice(t *testing.T) {
	inEachSet(t, func(t *testing.T, objects []object) {
		for _, p := range pods(t, objects) {
			for _, c := range p.containers() {
				seen := map[string]bool{}
				for _, e := range c.Env {
					if seen[e.Name] {
						t.Errorf("%s: %s: %s is there twice", p.of, c.Name, e.Name)
					}
					seen[e.Name] = true
				}
				for _, from := range c.EnvFrom {
					settings := as[corev1.ConfigMap](t, find(t, objects, "ConfigMap/"+from.ConfigMapRef.Name))
					for name := range settings.Data {
						if seen[name] {
							t.Errorf("%s: %s: %s is in env and in %s", p.of, c.Name, name, settings.Name)
						}
					}
				}
			}
		}
	})
}

func TestExtraEnvThatOverlaps(t *testing.T) {
	for _, component := range []string{"producer", "consumer", "migrate"} {
		taken := map[string]string{"producer": "RABBITMQ_HOST", "consumer": "CONSUMER_WORKERS", "migrate": "DATABASE_HOST"}[component]
		t.Run(component, func(t *testing.T) {
			t.Parallel()
			where := component + ".extraEnv"
			_, refusal := template(t, "--set", where+"[0].name="+taken, "--set", where+"[0].value=x")
			if !strings.Contains(refusal, where+": "+taken+" is set by the chart") {
				t.Errorf("said: %q", refusal)
			}
			_, refusal = template(t, "--set", where+"[0].name=A", "--set", where+"[1].name=A")
			if !strings.Contains(refusal, where+": A is there twice") {
				t.Errorf("said: %q", refusal)
			}
		})
	}
}
