package chart_test

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"sigs.k8s.io/yaml"
)

// immutable finds the fields that Kubernetes refuses to change: a release that does can't be an upgrade of the last.
func immutable(t *testing.T, objects []object) map[string]map[string]any {
	t.Helper()
	fields := map[string][]string{
		"Deployment":  {"selector"},
		"StatefulSet": {"selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"},
	}
	found := map[string]map[string]any{}
	for _, o := range objects {
		if fields[o.Kind] == nil {
			continue
		}
		var whole struct{ Spec map[string]any }
		if err := json.Unmarshal(o.raw, &whole); err != nil {
			t.Fatal(err)
		}
		found[o.id()] = map[string]any{}
		for _, field := range fields[o.Kind] {
			if value, ok := whole.Spec[field]; ok {
				found[o.id()][field] = value
			}
		}
	}
	return found
}

// The file may grow. A line of it that changes breaks every upgrade.
func TestImmutableFieldsStayAsTheyWere(t *testing.T) {
	text, err := os.ReadFile("testdata/immutable.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]map[string]any
	if err := yaml.UnmarshalStrict(text, &want); err != nil {
		t.Fatal(err)
	}
	got := immutable(t, parse(t, mustTemplate(t)))
	for id := range want {
		if !reflect.DeepEqual(got[id], want[id]) {
			t.Errorf("%s has other immutable fields now:\n%s", id, asYAML(t, got[id]))
		}
	}
	for id := range got {
		if want[id] == nil {
			t.Errorf("%s is not in testdata/immutable.yaml:\n%s", id, asYAML(t, got[id]))
		}
	}
}

// Neither a version nor a label of the user's gets into them.
func TestImmutableFieldsDoNotDependOnValues(t *testing.T) {
	want := immutable(t, parse(t, mustTemplate(t)))
	for name, args := range map[string][]string{
		"labels": {"--set", "commonLabels.team=audit,producer.podLabels.a=b,consumer.podLabels.a=b,rabbitmq.commonLabels.a=b,postgresql.podLabels.a=b"},
		"images": {"--set-string", "producer.image.tag=v2,rabbitmq.image.tag=4.4-management,postgresql.image.tag=18.6"},
		"ha":     {"-f", chart + "/values-ha.yaml"},
		"all":    {"-f", "testdata/everything-on.yaml"},
	} {
		for id, got := range immutable(t, parse(t, mustTemplate(t, args...))) {
			if !reflect.DeepEqual(got, want[id]) {
				t.Errorf("%s: %s has other immutable fields:\n%s", name, id, asYAML(t, got))
			}
		}
	}
}

func asYAML(t *testing.T, v any) string {
	t.Helper()
	text, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
