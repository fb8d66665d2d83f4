package chart_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// object is one manifest: what every object has, and its JSON.
type object struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	raw []byte
}

func (o object) id() string { return o.Kind + "/" + o.Name }

// parse splits manifests into objects, each of which must be YAML without a key twice.
func parse(t *testing.T, manifests []byte) []object {
	t.Helper()
	var objects []object
	for document := range bytes.SplitSeq(manifests, []byte("\n---\n")) {
		raw, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
		if string(raw) == "null" {
			continue
		}
		o := object{raw: raw}
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	if len(objects) == 0 {
		t.Fatal("helm made no objects")
	}
	return objects
}

// as decodes an object as what it is; a field that this kind has not is an error.
func as[T any](t *testing.T, o object) T {
	t.Helper()
	var v T
	decoder := json.NewDecoder(bytes.NewReader(o.raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%s: %v", o.id(), err)
	}
	return v
}

// find returns the object "Kind/name".
func find(t *testing.T, objects []object, id string) object {
	t.Helper()
	i := slices.IndexFunc(objects, func(o object) bool { return o.id() == id })
	if i < 0 {
		t.Fatalf("there is no %s", id)
	}
	return objects[i]
}

// pod is a pod, or what a controller makes pods of.
type pod struct {
	of       string
	metadata metav1.ObjectMeta
	spec     corev1.PodSpec
}

func (p pod) containers() []corev1.Container {
	return slices.Concat(p.spec.InitContainers, p.spec.Containers)
}

// pods finds every pod that the objects bring about.
func pods(t *testing.T, objects []object) []pod {
	t.Helper()
	var found []pod
	for _, o := range objects {
		var template corev1.PodTemplateSpec
		switch o.Kind {
		case "Deployment":
			template = as[appsv1.Deployment](t, o).Spec.Template
		case "StatefulSet":
			template = as[appsv1.StatefulSet](t, o).Spec.Template
		case "Job":
			template = as[batchv1.Job](t, o).Spec.Template
		case "CronJob":
			template = as[batchv1.CronJob](t, o).Spec.JobTemplate.Spec.Template
		case "Pod":
			p := as[corev1.Pod](t, o)
			template = corev1.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec}
		case "DaemonSet", "ReplicaSet", "ReplicationController":
			t.Fatalf("%s: a kind whose pods nobody looks at here", o.id())
		default:
			continue
		}
		found = append(found, pod{of: o.id(), metadata: template.ObjectMeta, spec: template.Spec})
	}
	return found
}
