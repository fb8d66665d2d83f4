package chart_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

type prometheusRule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Groups []ruleGroup `json:"groups"`
	}
}

// rendered returns the chart's PrometheusRule.
func rendered(t *testing.T, args ...string) prometheusRule {
	t.Helper()
	objects := parse(t, mustTemplate(t, append([]string{"--set", "metrics.prometheusRule.enabled=true"}, args...)...))
	return as[prometheusRule](t, find(t, objects, "PrometheusRule/trailpost"))
}

func TestNoPrometheusRuleUnlessAskedFor(t *testing.T) {
	for _, o := range parse(t, mustTemplate(t)) {
		if o.Kind == "PrometheusRule" {
			t.Error(o.id())
		}
	}
}

// The PrometheusRule is what the file says, of the release's namespace.
func TestPrometheusRuleIsTheFile(t *testing.T) {
	want := readRules(t)
	for i := range want {
		for j := range want[i].Rules {
			r := &want[i].Rules[j]
			r.Expr = strings.ReplaceAll(r.Expr, anyNamespace, `namespace="audit"`)
		}
	}
	if got := rendered(t).Spec.Groups; !reflect.DeepEqual(got, want) {
		t.Errorf("the groups are\n%+v, the file's\n%+v", got, want)
	}
}

// What values may change: labels and annotations, the runbooks' place, which alerts there are, and after how long they fire.
func TestPrometheusRuleOptions(t *testing.T) {
	o := rendered(t, "-f", "testdata/everything-on.yaml")
	if o.Labels["release"] != "prometheus" || o.Annotations["example.org/a"] != "b" {
		t.Errorf("labels %v, annotations %v", o.Labels, o.Annotations)
	}
	file := map[string]rule{}
	eachRule(t, func(r rule) {
		file[r.Alert+r.Record+r.Labels["severity"]] = r
	})
	seen := map[string]bool{}
	for _, group := range o.Spec.Groups {
		for _, r := range group.Rules {
			seen[r.Alert+r.Record+r.Labels["severity"]] = true
			if r.Alert == "" {
				continue
			}
			if want := "https://runbooks.example.org/trailpost/" + r.Alert + ".md"; r.Annotations["runbook_url"] != want {
				t.Errorf("%s: runbook_url %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
			}
			want := file[r.Alert+r.Labels["severity"]].For
			if r.Alert == "TrailpostNoConsumer" {
				want = "30s"
			}
			if r.For != want {
				t.Errorf("%s: for %q, want %q", r.Alert, r.For, want)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(file)) {
		if disabled := strings.HasPrefix(name, "TrailpostLossLedger"); seen[name] == disabled {
			t.Errorf("%s is there: %v", name, seen[name])
		}
	}
}

// The length of the queue is what the alerts' time to full goes by.
func TestPrometheusRuleKnowsTheQueuesLength(t *testing.T) {
	groups := rendered(t, "--set", "rabbitmq.queue.maxLengthBytes=20000000000").Spec.Groups
	want := ruleGroup{Name: "trailpost.limits", Rules: []rule{{
		Record: "namespace:trailpost_queue_limit_bytes:max", Expr: "vector(20000000000)", Labels: map[string]string{"namespace": "audit"},
	}}}
	if got := groups[len(groups)-1]; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// An alert that does not exist can't be left out, nor can its duration change.
func TestPrometheusRuleRefusesUnknownAlerts(t *testing.T) {
	for _, set := range []string{"metrics.prometheusRule.disabled={TrailpostNoSuchThing}", "metrics.prometheusRule.for.TrailpostNoSuchThing=5m"} {
		_, refusal := template(t, "--set", "metrics.prometheusRule.enabled=true", "--set", set)
		if !strings.Contains(refusal, "there is no alert TrailpostNoSuchThing; there are TrailpostNoProducer, ") {
			t.Errorf("%s: said: %q", set, refusal)
		}
	}
	for set, want := range map[string]string{
		"metrics.prometheusRule.for.TrailpostNoConsumer=soon": "/metrics/prometheusRule/for",
		"metrics.prometheusRule.disabled={NoConsumer}":        "/metrics/prometheusRule/disabled",
		"metrics.prometheusRule.runbookUrl=wiki":              "/metrics/prometheusRule/runbookUrl",
		"metrics.prometheusRule.label=x":                      "'label'",
	} {
		if _, refusal := template(t, "--set", set); !strings.Contains(refusal, want) {
			t.Errorf("%s: said: %q", set, refusal)
		}
	}
}

// Prometheus takes what the chart makes: braces and quotes have survived it.
func TestPromtoolTakesThePrometheusRule(t *testing.T) {
	for _, args := range [][]string{{"--set", "rabbitmq.queue.maxLengthBytes=20000000000"}, {"-f", "testdata/everything-on.yaml"}} {
		spec := rendered(t, args...).Spec
		text, err := yaml.Marshal(map[string]any{"groups": spec.Groups})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "rules.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", file).CombinedOutput(); err != nil {
			t.Errorf("promtool check rules: %v\n%s", err, out)
		}
	}
}
