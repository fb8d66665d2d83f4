//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	promapi "github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// monitoring is the cluster's Prometheus, which the Prometheus Operator runs.
type monitoring struct {
	*namespace // where it is
	pod        string
}

// needMonitoring finds the cluster's Prometheus, and KEDA, by what their operators
// leave there. Where one of them is not, this test can't be.
func needMonitoring(t *testing.T) *monitoring {
	t.Helper()
	services, err := machine.cluster.clientset.CoreV1().Services("").List(t.Context(), metav1.ListOptions{LabelSelector: "operated-prometheus=true"})
	if err != nil {
		t.Fatal(err)
	}
	if len(services.Items) == 0 {
		t.Skip("NOT TESTED: the cluster has no Prometheus that the Prometheus Operator runs")
	}
	if _, err := machine.cluster.clientset.Discovery().ServerResourcesForGroupVersion("keda.sh/v1alpha1"); err != nil {
		if !apierrors.IsNotFound(err) {
			t.Fatal(err)
		}
		t.Skip("NOT TESTED: the cluster has no KEDA")
	}
	service := services.Items[0]
	m := &monitoring{namespace: &namespace{name: service.Namespace, Clientset: machine.cluster.clientset}}
	pods, err := m.pods(t.Context(), service.Spec.Selector)
	if err != nil || len(pods) == 0 {
		t.Fatalf("Prometheus has no pod: %v", err)
	}
	m.pod = pods[0].Name
	return m
}

// url is where pods of the cluster find it.
func (m *monitoring) url() string { return "http://prometheus-operated." + m.name + ".svc:9090" }

// ask calls its HTTP API by way of the API server.
func (m *monitoring) ask(ctx context.Context, question func(promv1.API) error) error {
	port, stop, err := m.forward(ctx, m.pod, 9090)
	if err != nil {
		return err
	}
	defer stop()
	client, err := promapi.NewClient(promapi.Config{Address: fmt.Sprintf("http://127.0.0.1:%d", port)})
	if err != nil {
		return err
	}
	return question(promv1.NewAPI(client))
}

// vector is the answer to an instant query.
func (m *monitoring) vector(ctx context.Context, query string) (samples model.Vector, err error) {
	err = m.ask(ctx, func(api promv1.API) error {
		value, _, _, err := api.Query(ctx, query, time.Now())
		if err != nil {
			return fmt.Errorf("%s: %w", query, err)
		}
		var ok bool
		if samples, ok = value.(model.Vector); !ok {
			return fmt.Errorf("%s: the answer is a %s", query, value.Type())
		}
		return nil
	})
	return samples, err
}
