//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// namespace is a test's own.
type namespace struct {
	name string
	*kubernetes.Clientset

	authorities *x509.CertPool // of the servers' certificates; nil: they speak no TLS
}

// newNamespace makes a namespace that enforces the restricted Pod Security Standard.
// At the test's end it tells what is wrong in there if the test failed, and deletes
// it, with the volumes.
func newNamespace(t *testing.T) *namespace {
	t.Helper()
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(strings.TrimPrefix(t.Name(), "Test")), "-")
	clientset, warnings, err := machine.cluster.watched()
	if err != nil {
		t.Fatal(err)
	}
	n := &namespace{name: fmt.Sprintf("e2e-%.40s-%s", name, strings.ToLower(rand.Text()[:5])), Clientset: clientset}
	const standard = "pod-security.kubernetes.io/"
	_, err = n.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name:   n.name,
		Labels: map[string]string{standard + "enforce": "restricted", standard + "warn": "restricted", standard + "audit": "restricted"},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, text := range warnings.all() {
			t.Errorf("the API server warns: %s", text)
		}
		// t.Context() is over by now.
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		if t.Failed() {
			n.describe(ctx, t)
			if machine.keep {
				t.Logf("namespace %s of cluster %s is kept", n.name, machine.cluster.name)
				return
			}
		}
		if err := n.delete(ctx); err != nil {
			t.Errorf("deleting namespace %s: %v", n.name, err)
		}
	})
	return n
}

// delete deletes the namespace and waits until it and its volumes are gone. Its pods have a second to end, not the half
// minute that they are due: nobody needs what they have any more.
func (n *namespace) delete(ctx context.Context) error {
	if err := n.CoreV1().Namespaces().Delete(ctx, n.name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := n.CoreV1().Pods(n.name).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: new(int64(1))}, metav1.ListOptions{}); err != nil {
		return err
	}
	return until(ctx, "the namespace and its volumes are gone", func(ctx context.Context) (bool, error) {
		_, err := n.CoreV1().Namespaces().Get(ctx, n.name, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return false, err
		}
		volumes, err := n.volumes(ctx)
		return err == nil && len(volumes) == 0, err
	})
}

// volumes are the names of the persistent volumes that are bound in the namespace.
func (n *namespace) volumes(ctx context.Context) (names []string, err error) {
	list, err := n.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, volume := range list.Items {
		if claim := volume.Spec.ClaimRef; claim != nil && claim.Namespace == n.name {
			names = append(names, volume.Name)
		}
	}
	return names, nil
}

// secret is the content of a Secret.
func (n *namespace) secret(t *testing.T, name string) map[string]string {
	t.Helper()
	secret, err := n.CoreV1().Secrets(n.name).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	content := make(map[string]string)
	for key, value := range secret.Data {
		content[key] = string(value)
	}
	return content
}

// passwords are all that the chart has made up, by Secret and key.
func (n *namespace) passwords(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range []string{"trailpost-database", "trailpost-postgresql", "trailpost-rabbitmq"} {
		for key, value := range n.secret(t, name) {
			all[name+"/"+key] = value
		}
	}
	return all
}
