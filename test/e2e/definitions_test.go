//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"
)

// definition is of a custom resource.
type definition struct {
	*unstructured.Unstructured
	definitions, objects dynamic.ResourceInterface
}

// haveDefinitions installs the definitions of custom resources that are missing. Those it
// has made are deleted at the end, unless somebody has begun to use them.
func haveDefinitions(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if _, err := command(t.Context(), "go", "run", "./hack/schemas", dir); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "crds", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no definitions: %v", err)
	}
	client, err := dynamic.NewForConfig(machine.cluster.rest)
	if err != nil {
		t.Fatal(err)
	}
	var made []definition
	for _, file := range files {
		d := readDefinition(t, client, file)
		_, err := d.definitions.Create(t.Context(), d.Unstructured, metav1.CreateOptions{FieldManager: manager})
		if apierrors.IsAlreadyExists(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.forget(t) })
		made = append(made, d)
	}
	for _, d := range made {
		eventually(t, time.Minute, d.GetName()+" is served", func(ctx context.Context) (bool, error) {
			_, err := d.objects.List(ctx, metav1.ListOptions{Limit: 1})
			return err == nil, err
		})
	}
}

func readDefinition(t *testing.T, client dynamic.Interface, file string) definition {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := definition{Unstructured: new(unstructured.Unstructured)}
	var spec struct {
		Spec struct {
			Group    string
			Names    struct{ Plural string }
			Versions []struct {
				Name   string
				Served bool
			}
		}
	}
	for _, into := range []any{&d.Object, &spec} {
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	group, versions := spec.Spec.Group, spec.Spec.Versions
	for _, version := range versions {
		if version.Served {
			d.objects = client.Resource(schema.GroupVersionResource{Group: group, Version: version.Name, Resource: spec.Spec.Names.Plural})
		}
	}
	if d.objects == nil {
		t.Fatalf("%s serves no version", file)
	}
	d.definitions = client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	return d
}

// forget deletes a definition that nobody else uses.
func (d definition) forget(t *testing.T) {
	// t.Context() is over by now.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	objects, err := d.objects.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		t.Error(err)
		return
	}
	now, err := d.definitions.Get(ctx, d.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Error(err)
		return
	}
	others := slices.DeleteFunc(now.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager == manager || m.Manager == "kube-apiserver"
	})
	if len(objects.Items) > 0 || len(others) > 0 {
		t.Logf("%s stays: there are %d objects and other managers %v", d.GetName(), len(objects.Items), others)
		return
	}
	if err := d.definitions.Delete(ctx, d.GetName(), metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}
