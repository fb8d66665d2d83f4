package chart_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// notes renders NOTES.txt, which Helm 3 shows only to those who have a cluster: here it is the content of a ConfigMap of
// a copy of the chart.
func notes(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(chart)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(dir + "/templates/NOTES.txt")
	if err != nil {
		t.Fatal(err)
	}
	manifest := "{{ define \"notes\" }}" + string(text) + "{{ end }}" +
		`{kind: ConfigMap, apiVersion: v1, metadata: {name: notes}, data: {notes: {{ include "notes" . | toJson }}}}`
	if err := os.WriteFile(dir+"/templates/notes.yaml", []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	out, refusal := runHelm(t, slices.Concat([]string{"template", release, dir, "--namespace", "audit", "--show-only", "templates/notes.yaml"}, args)...)
	if refusal != "" {
		t.Fatal(refusal)
	}
	return as[corev1.ConfigMap](t, find(t, parse(t, out), "ConfigMap/notes")).Data["notes"]
}

// What the next three commands name must exist.
func TestNotesNameWhatIsThere(t *testing.T) {
	tests := map[string]struct {
		args []string
		want []string
	}{
		"defaults": {nil, []string{
			`KEY="$(kubectl -n audit get secret trailpost-producer-keys -o jsonpath='{.data.client-key}' | base64 -d)"`, `-H "Authorization: Bearer $KEY"`,
			"-n audit port-forward svc/trailpost-producer 8001:8001", "http://localhost:8001/log",
			"-n audit exec trailpost-postgresql-0 -c postgresql --", "-U trail_reader -d code_reviewer_logs",
			"-n audit scale deploy/trailpost-consumer", "helm test trailpost -n audit",
		}},
		"https": {[]string{"--set", "producer.tls.existingSecret=tls,producer.service.port=443"}, []string{
			"8001:443", "curl -sik", "https://localhost:8001/log",
		}},
		"external": {[]string{"-f", chart + "/values-external.yaml"}, []string{
			"get secret trailpost-database", "psql -h postgresql.example.org -p 5432 -U trail_reader -d trail",
		}},
		"operators": {[]string{"-f", "../../../k8s/values-operators.yaml"}, []string{
			"get secret trailpost-database-reader -o jsonpath='{.data.password}'", "-n audit port-forward svc/trailpost-postgresql-rw 15432:5432 &",
			"psql -h localhost -p 15432 -U trail_reader", "KEDA scales the consumers, from 2 to 8", "describe scaledobject/trailpost-consumer",
		}},
		"in another namespace": {[]string{"-f", chart + "/values-external.yaml", "--set", "externalDatabase.host=pg-rw.databases.svc"}, []string{
			"kubectl -n databases port-forward svc/pg-rw 15432:5432 &", "psql -h localhost -p 15432 -U",
		}},
		"by its full name": {[]string{"-f", chart + "/values-external.yaml", "--set", "externalDatabase.host=pg-rw.databases.svc.cluster.local."}, []string{
			"kubectl -n databases port-forward svc/pg-rw 15432:5432 &", "psql -h localhost -p 15432 -U",
		}},
		"one pod": {[]string{"-f", chart + "/values-external.yaml", "--set", "externalDatabase.host=pg-0.pg.databases.svc"}, []string{
			"kubectl -n databases port-forward pod/pg-0 15432:5432 &", "psql -h localhost -p 15432 -U",
		}},
		"an address": {[]string{"-f", chart + "/values-external.yaml", "--set", "externalDatabase.host=2001:db8::5"}, []string{
			"psql -h 2001:db8::5 -p 5432",
		}},
		"several": {[]string{"-f", chart + "/values-external.yaml", "--set", "externalDatabase.host=a.example.org\\,b.example.org"}, []string{
			"psql -h a.example.org,b.example.org -p 5432",
		}},
		"several in the cluster": {[]string{"-f", chart + "/values-external.yaml", "--set", "externalDatabase.host=pg-a\\,pg-b.x.svc"}, []string{
			"kubectl -n audit port-forward svc/pg-a 15432:5432 &", "psql -h localhost -p 15432",
		}},
		"fixed count":   {[]string{"--set", "consumer.replicas=2"}, []string{"change consumer.replicas"}},
		"no migrations": {[]string{"--set", "migrate.mode=none,database.existingSecret=s"}, []string{"run `migrate up`"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := notes(t, test.args...)
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in:\n%s", want, text)
				}
			}
			if scales := strings.Contains(text, "scale deploy/"); scales == strings.Contains(text, "KEDA") {
				t.Errorf("who scales the consumers?\n%s", text)
			}
			if strings.Contains(text, "no value") {
				t.Errorf("a hole in:\n%s", text)
			}
		})
	}
	if text := notes(t, "--set", "producer.apiKeys.enabled=false"); strings.Contains(text, "KEY") || strings.Contains(text, "Bearer") {
		t.Errorf("a key where none is asked for:\n%s", text)
	}
	objects := parse(t, mustTemplate(t))
	for _, id := range []string{"Secret/trailpost-producer-keys", "Service/trailpost-producer", "Deployment/trailpost-consumer", "StatefulSet/trailpost-postgresql"} {
		find(t, objects, id)
	}
}

// What stays after `helm uninstall`, and nothing that was never there.
func TestNotesTellWhatStays(t *testing.T) {
	const passwords, volumes = "Passwords stay in the Secret", "The data stay in their volumes"
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"defaults":  {nil, []string{passwords, volumes}},
		"gitops":    {[]string{"-f", chart + "/values-gitops.yaml"}, []string{volumes}},
		"external":  {[]string{"-f", chart + "/values-external.yaml"}, []string{passwords}},
		"operators": {[]string{"-f", "../../../k8s/values-operators.yaml"}, nil},
	} {
		text := notes(t, test.args...)
		for _, sentence := range []string{passwords, volumes} {
			if strings.Contains(text, sentence) != slices.Contains(test.want, sentence) {
				t.Errorf("%s: %q, want it: %v\n%s", name, sentence, slices.Contains(test.want, sentence), text)
			}
		}
	}
}
