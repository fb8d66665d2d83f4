package chart_test

import (
	"os"
	"reflect"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// frozen are the fields that Kubernetes refuses to change: a release that does can't be an upgrade of the last.
type frozen struct {
	Selector             *metav1.LabelSelector `json:"selector"`
	ServiceName          string                `json:"serviceName,omitempty"`
	PodManagementPolicy  string                `json:"podManagementPolicy,omitempty"`
	VolumeClaimTemplates []any                 `json:"volumeClaimTemplates,omitempty"`
}

func freeze(t *testing.T, objects []object) map[string]frozen {
	t.Helper()
	found := map[string]frozen{}
	for _, o := range objects {
		switch o.Kind {
		case "Deployment":
			found[o.id()] = frozen{Selector: as[appsv1.Deployment](t, o).Spec.Selector}
		case "StatefulSet":
			spec := as[appsv1.StatefulSet](t, o).Spec
			f := frozen{Selector: spec.Selector, ServiceName: spec.ServiceName, PodManagementPolicy: string(spec.PodManagementPolicy)}
			for _, claim := range spec.VolumeClaimTemplates {
				f.VolumeClaimTemplates = append(f.VolumeClaimTemplates, asAny(t, claim))
			}
			found[o.id()] = f
		}
	}
	return found
}

func asAny(t *testing.T, v any) (out any) {
	t.Helper()
	text, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// The file may grow. A line of it that changes breaks every upgrade.
func TestImmutableFieldsStayAsTheyWere(t *testing.T) {
	text, err := os.ReadFile("testdata/immutable.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]frozen
	if err := yaml.UnmarshalStrict(text, &want); err != nil {
		t.Fatal(err)
	}
	got := freeze(t, parse(t, mustTemplate(t)))
	for id, fields := range want {
		if !reflect.DeepEqual(asAny(t, got[id]), asAny(t, fields)) {
			t.Errorf("%s: immutable fields have changed to\n%s", id, asYAML(t, got[id]))
		}
	}
	for id := range got {
		if _, ok := want[id]; !ok {
			t.Errorf("%s is not in testdata/immutable.yaml:\n%s", id, asYAML(t, map[string]frozen{id: got[id]}))
		}
	}
	// Neither a version nor the user's labels get into them.
	for _, args := range [][]string{
		{"--set", "commonLabels.team=audit,producer.podLabels.a=b,consumer.podLabels.a=b"},
		{"-f", chart + "/values-ha.yaml"},
		{"-f", "testdata/everything-on.yaml"},
	} {
		for id, fields := range freeze(t, parse(t, mustTemplate(t, args...))) {
			if !reflect.DeepEqual(asAny(t, fields), asAny(t, want[id])) {
				t.Errorf("%v: %s: immutable fields depend on values:\n%s", args, id, asYAML(t, fields))
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
