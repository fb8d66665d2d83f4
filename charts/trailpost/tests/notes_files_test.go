package chart_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// What NOTES' commands name.
var (
	noteSecret  = regexp.MustCompile(`get secret (\S+) -o jsonpath='\{\.data\.([^}]+)\}'`)
	noteService = regexp.MustCompile(`port-forward svc/(\S+) \d+:(\d+)`)
	noteObject  = regexp.MustCompile(`(?:scale|describe) (deploy|scaledobject)/(\S+)`)
	notePod     = regexp.MustCompile(`exec (\S+)-0 -c (\S+)`)
)

// TestNotesOfEveryValuesFile: with each values file of the repository NOTES' commands name what the chart makes, or what the file
// says that somebody else does.
func TestNotesOfEveryValuesFile(t *testing.T) {
	files, err := filepath.Glob(chart + "/values*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(k8s + "/values*.yaml")
	if err != nil || len(files) < 5 || len(more) < 1 {
		t.Fatalf("%d and %d values files, %v", len(files), len(more), err)
	}
	operators, _, _ := production(t)
	for _, file := range slices.Concat(files, more) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			said, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(file, k8s) {
				script, err := os.ReadFile(k8s + "/make-secrets")
				if err != nil {
					t.Fatal(err)
				}
				said = append(said, script...)
			}
			text := notes(t, "-f", file)
			objects := parse(t, mustTemplate(t, "-f", file))
			has := func(id string) bool {
				return slices.ContainsFunc(objects, func(o object) bool { return o.id() == id })
			}
			for _, m := range noteSecret.FindAllStringSubmatch(text, -1) {
				if !has("Secret/" + m[1]) {
					for _, name := range m[1:] {
						if !regexp.MustCompile(`(^|[^-\w])` + regexp.QuoteMeta(name) + `($|[^-\w])`).Match(said) {
							t.Errorf("nobody makes the Secret %s with %s", m[1], m[2])
						}
					}
					continue
				}
				s := as[corev1.Secret](t, find(t, objects, "Secret/"+m[1]))
				if keys := slices.Concat(slices.Collect(maps.Keys(s.Data)), slices.Collect(maps.Keys(s.StringData))); !slices.Contains(keys, m[2]) {
					t.Errorf("the Secret %s has %v, and not %s", m[1], keys, m[2])
				}
			}
			for _, m := range noteService.FindAllStringSubmatch(text, -1) {
				port, err := strconv.Atoi(m[2])
				if err != nil {
					t.Fatal(err)
				}
				if !has("Service/" + m[1]) {
					// CloudNativePG's, of the cluster's name
					cluster := strings.TrimSuffix(m[1], "-rw")
					if find(t, operators, "Cluster/"+cluster); port != 5432 {
						t.Errorf("the Service %s has no port %d", m[1], port)
					}
					continue
				}
				s := as[corev1.Service](t, find(t, objects, "Service/"+m[1]))
				if !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return int(p.Port) == port }) {
					t.Errorf("the Service %s has no port %d", m[1], port)
				}
			}
			for _, m := range noteObject.FindAllStringSubmatch(text, -1) {
				find(t, objects, map[string]string{"deploy": "Deployment/", "scaledobject": "ScaledObject/"}[m[1]]+m[2])
			}
			for _, m := range notePod.FindAllStringSubmatch(text, -1) {
				find(t, objects, "StatefulSet/"+m[1])
			}
			if n := len(noteService.FindAllString(text, -1)) + len(noteObject.FindAllString(text, -1)); n < 2 {
				t.Errorf("%d commands in:\n%s", n, text)
			}
		})
	}
}
