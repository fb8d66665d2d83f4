package chart_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func settingsOf(t *testing.T, objects []object, component string) map[string]string {
	t.Helper()
	return as[corev1.ConfigMap](t, find(t, objects, "ConfigMap/trailpost-"+component)).Data
}

func TestNothingIsTracedByDefault(t *testing.T) {
	manifests := mustTemplate(t, "--set", "networkPolicy.enabled=true")
	for _, word := range []string{"OTEL_", "tracing"} {
		if strings.Contains(string(manifests), word) {
			t.Errorf("%s is there without an endpoint", word)
		}
	}
}

func TestTracingSettings(t *testing.T) {
	objects := parse(t, mustTemplate(t, "--set", "tracing.endpoint=http://collector:4318"))
	want := map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
		"OTEL_TRACES_SAMPLER":         "parentbased_always_on",
		"OTEL_TRACES_SAMPLER_ARG":     "1",
		"OTEL_RESOURCE_ATTRIBUTES":    "k8s.namespace.name=audit",
	}
	for _, component := range []string{"producer", "consumer"} {
		got := settingsOf(t, objects, component)
		maps.DeleteFunc(got, func(name, _ string) bool { return !strings.HasPrefix(name, "OTEL_") })
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v", component, got)
		}
	}
	for _, p := range pods(t, objects) {
		if slices.ContainsFunc(p.spec.Volumes, func(v corev1.Volume) bool { return v.Name == "tracing" }) {
			t.Errorf("%s has a volume for nothing", p.of)
		}
	}
	if _, refusal := template(t, "--set", "tracing.endpoint=http://collector:4318", "--set", "consumer.extraEnv[0].name=OTEL_TRACES_SAMPLER", "--set", "consumer.extraEnv[0].value=always_on"); !strings.Contains(refusal, "OTEL_TRACES_SAMPLER is set by the chart") {
		t.Errorf("said: %q", refusal)
	}
}

// The files that the settings name are mounted wherever the settings are.
func TestTracingFiles(t *testing.T) {
	objects := parse(t, mustTemplate(t, "-f", "testdata/everything-on.yaml"))
	for _, component := range []string{"producer", "consumer"} {
		settings := settingsOf(t, objects, component)
		if got, want := settings["OTEL_RESOURCE_ATTRIBUTES"], "k8s.namespace.name=audit,deployment.environment.name=pro%2C%20duction"; got != want {
			t.Errorf("%s: attributes %q, want %q", component, got, want)
		}
		for _, p := range pods(t, objects) {
			if p.of != "Deployment/trailpost-"+component {
				continue
			}
			var files []string
			for _, v := range p.spec.Volumes {
				if v.Name != "tracing" {
					continue
				}
				for _, source := range v.Projected.Sources {
					for _, item := range source.Secret.Items {
						files = append(files, source.Secret.Name+"/"+item.Key+" as "+item.Path)
					}
				}
			}
			if want := []string{"collector-headers/headers as headers", "collector-ca/ca.crt as ca.crt"}; !slices.Equal(files, want) {
				t.Errorf("%s: files %v, want %v", p.of, files, want)
			}
			for _, c := range p.containers() {
				for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS_FILE", "OTEL_EXPORTER_OTLP_CERTIFICATE"} {
					if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
						return m.Name == "tracing" && strings.HasPrefix(settings[name], m.MountPath+"/")
					}) {
						t.Errorf("%s: %s: nothing is mounted for %s", p.of, c.Name, name)
					}
				}
			}
		}
	}
}

func TestPoliciesLetTracesThrough(t *testing.T) {
	for endpoint, port := range map[string]int32{
		"http://collector.observability:4318": 4318, "https://collector.example/otlp": 443, "http://[fd00::1]": 80, "http://[fd00::1]:4318": 4318,
	} {
		objects := parse(t, mustTemplate(t, "--set", "networkPolicy.enabled=true", "--set", "tracing.endpoint="+endpoint,
			"--set", "networkPolicy.collector[0].ipBlock.cidr=192.0.2.0/24"))
		for _, policy := range policies(t, objects) {
			traced := strings.HasSuffix(policy.Name, "-producer") || strings.HasSuffix(policy.Name, "-consumer")
			open := false
			for _, rule := range policy.Spec.Egress {
				open = open || ports(rule.Ports, port) && len(rule.To) == 1 && rule.To[0].IPBlock != nil && rule.To[0].IPBlock.CIDR == "192.0.2.0/24"
			}
			if open != traced {
				t.Errorf("%s, %s: the way to the collector is open: %v", endpoint, policy.Name, open)
			}
		}
	}
}

func TestWrongTracingValues(t *testing.T) {
	for assignment, want := range map[string]string{
		"tracing.endpoint=collector:4317":               "/tracing/endpoint",
		"tracing.endpoint=http://user:secret@collector": "/tracing/endpoint",
		"tracing.sampler=xray":                          "/tracing/sampler",
		"tracing.samplerArg=2":                          "/tracing/samplerArg",
		"tracing.endpont=http://collector:4318":         "'endpont'",
		"networkPolicy.collectors=x":                    "'collectors'",
	} {
		if _, refusal := template(t, "--set", assignment); !strings.Contains(refusal, want) {
			t.Errorf("%s: said: %q", assignment, refusal)
		}
	}
}
