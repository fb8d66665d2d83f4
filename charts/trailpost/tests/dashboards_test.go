package chart_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// dashboards are the ConfigMaps that a sidecar with a label's name would take.
func dashboards(t *testing.T, label string, args ...string) (found []corev1.ConfigMap) {
	t.Helper()
	for _, o := range parse(t, mustTemplate(t, args...)) {
		if _, ok := o.Labels[label]; ok && o.Kind == "ConfigMap" {
			found = append(found, as[corev1.ConfigMap](t, o))
		}
	}
	return found
}

// Each dashboard is delivered as its file is.
func TestDashboards(t *testing.T) {
	if found := dashboards(t, "grafana_dashboard"); len(found) > 0 {
		t.Errorf("%d dashboards that nobody asked for", len(found))
	}
	files, err := filepath.Glob(chart + "/dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	found := dashboards(t, "grafana_dashboard", "--set", "metrics.dashboards.enabled=true")
	if len(found) != len(files) {
		t.Errorf("%d ConfigMaps of %d dashboards", len(found), len(files))
	}
	var names []string
	for _, c := range found {
		names = append(names, c.Name)
		if c.Namespace != "audit" || c.Labels["grafana_dashboard"] != "1" || len(c.Annotations) > 0 || len(c.Data) != 1 {
			t.Errorf("%s in %s: labels %v, annotations %v, %d files", c.Name, c.Namespace, c.Labels, c.Annotations, len(c.Data))
		}
		for name, text := range c.Data {
			want, err := os.ReadFile(filepath.Join(chart, "dashboards", name))
			if err != nil || text != strings.TrimSuffix(string(want), "\n") {
				t.Errorf("%s is not the file (%v)", name, err)
			}
		}
	}
	slices.Sort(names)
	if want := []string{"trailpost-dashboard-overview", "trailpost-dashboard-pipeline", "trailpost-dashboard-servers"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

// A sidecar that looks for something else, somewhere else, finds them, too.
func TestDashboardsForAnotherSidecar(t *testing.T) {
	for _, c := range dashboards(t, "dashboards.example.org/load",
		"--set", `metrics.dashboards.enabled=true,metrics.dashboards.namespace=monitoring,metrics.dashboards.label=dashboards\.example\.org/load`,
		"--set-string", "metrics.dashboards.labelValue=yes,metrics.dashboards.annotations.grafana_folder=Trailpost") {
		if c.Namespace != "monitoring" || c.Labels["dashboards.example.org/load"] != "yes" || c.Annotations["grafana_folder"] != "Trailpost" {
			t.Errorf("%s in %s: labels %v, annotations %v", c.Name, c.Namespace, c.Labels, c.Annotations)
		}
	}
	for assignment, want := range map[string]string{
		"metrics.dashboards.enable=true":         "'enable'",
		"metrics.dashboards.label=":              "/metrics/dashboards/label",
		"metrics.dashboards.namespace=No Name":   "/metrics/dashboards/namespace",
		"metrics.dashboards.labelValue=no value": "/metrics/dashboards/labelValue",
	} {
		if _, refusal := template(t, "--set-string", assignment); !strings.Contains(refusal, want) {
			t.Errorf("%s: said: %q", assignment, refusal)
		}
	}
}
