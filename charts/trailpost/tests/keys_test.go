package chart_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// The key that the chart makes is one that the producer takes: its line is as
// services/internal/apikey wants it.
func TestTheKeyOpensTheDoor(t *testing.T) {
	seen := map[string]bool{}
	for range 2 {
		secret := as[corev1.Secret](t, find(t, parse(t, mustTemplate(t)), "Secret/trailpost-producer-keys"))
		key := string(secret.Data["client-key"])
		if want := fmt.Sprintf("default sha256:%x\n", sha256.Sum256([]byte(key))); string(secret.Data["keys"]) != want {
			t.Errorf("keys are %q, want %q", secret.Data["keys"], want)
		}
		if len(key) < 43 || seen[key] {
			t.Errorf("the key is %s, and another release's is the same: %v", key, seen[key])
		}
		seen[key] = true
	}
}

// Producers get the hashes alone, in a folder that the kubelet renews; the pod of
// `helm test` the key alone; nobody else anything.
func TestWhoGetsTheKeys(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		secret string // "": no keys
	}{
		"defaults": {nil, "trailpost-producer-keys"},
		"existing": {[]string{"--set", "producer.apiKeys.existingSecret=mine"}, "mine"},
		"off":      {[]string{"--set", "producer.apiKeys.enabled=false"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := parse(t, mustTemplate(t, c.args...))
			got := map[string][]string{}
			for _, p := range pods(t, objects) {
				for _, v := range p.spec.Volumes {
					if v.Secret == nil || v.Secret.SecretName != c.secret {
						continue
					}
					for _, item := range v.Secret.Items {
						got[p.of] = append(got[p.of], item.Key)
					}
					for _, container := range p.containers() {
						for _, m := range container.VolumeMounts {
							if m.Name == v.Name && m.SubPath != "" {
								t.Errorf("%s: %s is mounted by itself, and would never change", p.of, m.MountPath)
							}
						}
					}
				}
			}
			settings := as[corev1.ConfigMap](t, find(t, objects, "ConfigMap/trailpost-producer")).Data
			made := slices.ContainsFunc(objects, func(o object) bool { return o.id() == "Secret/trailpost-producer-keys" })
			if c.secret == "" {
				if len(got) > 0 || settings["PRODUCER_API_KEYS_FILE"] != "" || made {
					t.Errorf("keys are off, and there are %v, %v", got, settings)
				}
				return
			}
			if len(got) != 2 || !slices.Equal(got["Deployment/trailpost-producer"], []string{"keys"}) ||
				!slices.Equal(got["Pod/trailpost-selftest"], []string{"client-key"}) {
				t.Errorf("%v", got)
			}
			if settings["PRODUCER_API_KEYS_FILE"] != "/etc/trailpost/api-keys/keys" || made != (c.secret == "trailpost-producer-keys") {
				t.Errorf("settings %v, a Secret is made: %v", settings, made)
			}
		})
	}
}

// Metrics and probes are on a port that no Service for clients has, whatever speaks on
// the other.
func TestMetricsAreNotWhereEventsAre(t *testing.T) {
	inEachSet(t, func(t *testing.T, objects []object) {
		pod := as[appsv1.Deployment](t, find(t, objects, "Deployment/trailpost-producer")).Spec.Template.Spec
		container := pod.Containers[0]
		for what, probe := range map[string]*corev1.Probe{"liveness": container.LivenessProbe, "readiness": container.ReadinessProbe} {
			if probe.HTTPGet.Port.String() != "metrics" || probe.HTTPGet.Scheme != "" {
				t.Errorf("%s asks port %s by %s", what, probe.HTTPGet.Port.String(), probe.HTTPGet.Scheme)
			}
		}
		i := slices.IndexFunc(container.Ports, func(p corev1.ContainerPort) bool { return p.Name == "metrics" })
		if i < 0 || container.Ports[i].ContainerPort != 8002 {
			t.Errorf("ports %+v", container.Ports)
		}
		for _, port := range as[corev1.Service](t, find(t, objects, "Service/trailpost-producer")).Spec.Ports {
			if port.Port == 8002 || strings.Contains(port.TargetPort.String(), "metrics") {
				t.Errorf("clients' Service has port %+v", port)
			}
		}
		metrics := as[corev1.Service](t, find(t, objects, "Service/trailpost-producer-metrics")).Spec
		if metrics.ClusterIP != corev1.ClusterIPNone || len(metrics.Ports) != 1 || metrics.Ports[0].Name != "metrics" {
			t.Errorf("the metrics' Service: %+v", metrics)
		}
	})
}
