package chart_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// ruleGroup is a group of rules, as in a rules file and in a PrometheusRule.
type ruleGroup struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

// rule is a recording rule or an alert.
type rule struct {
	Record        string            `json:"record,omitempty"`
	Alert         string            `json:"alert,omitempty"`
	Expr          string            `json:"expr,omitempty"`
	For           string            `json:"for,omitempty"`
	KeepFiringFor string            `json:"keep_firing_for,omitempty"`
	Labels        map[string]string `json:"labels,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

const (
	rulesFile = chart + "/rules/trailpost.yaml"
	runbooks  = "../../../docs/runbooks"
	services  = "../../../services"

	// anyNamespace is in every selector of the file; the chart puts its release's namespace there.
	anyNamespace = `namespace=~".*"`
	runbookBase  = "https://github.com/trailpost/trailpost/blob/main/docs/runbooks/"
)

// readRules reads the plain file, in which a key that no rule has is an error.
func readRules(t *testing.T) []ruleGroup {
	t.Helper()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []ruleGroup }
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Groups
}

// eachRule calls do with every rule of the file.
func eachRule(t *testing.T, do func(rule)) {
	t.Helper()
	for _, group := range readRules(t) {
		for _, r := range group.Rules {
			do(r)
		}
	}
}

// alertNames are the names of all alerts, each once.
func alertNames(t *testing.T) (names []string) {
	t.Helper()
	eachRule(t, func(r rule) {
		if r.Alert != "" && !slices.Contains(names, r.Alert) {
			names = append(names, r.Alert)
		}
	})
	if len(names) < 20 {
		t.Fatalf("%d alerts in %s", len(names), rulesFile)
	}
	return names
}

// An alert has what whoever is woken by it needs.
func TestAlertsAreComplete(t *testing.T) {
	eachRule(t, func(r rule) {
		if r.Alert == "" {
			return
		}
		if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s: severity %q", r.Alert, severity)
		}
		if r.Annotations["summary"] == "" || !strings.Contains(r.Annotations["description"], "{{ $labels.namespace }}") {
			t.Errorf("%s: its summary or description is missing, or says nothing of the namespace", r.Alert)
		}
		if got, want := r.Annotations["runbook_url"], runbookBase+r.Alert+".md"; got != want {
			t.Errorf("%s: runbook_url %q, want %q", r.Alert, got, want)
		}
		if len(r.Annotations) != 3 {
			t.Errorf("%s: annotations %v", r.Alert, r.Annotations)
		}
	})
}

// runbookParts are what every runbook has, in this order.
var runbookParts = []string{"Meaning", "Impact", "Diagnosis", "Mitigation"}

// Each alert has a runbook, each runbook an alert, and the index lists all of them.
func TestRunbooks(t *testing.T) {
	files, err := filepath.Glob(runbooks + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var pages []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".md")
		for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(runbooks, link[1])); err != nil {
				t.Errorf("%s links to what is not there: %v", name, err)
			}
		}
		if name == "README" {
			for _, alert := range alertNames(t) {
				if !strings.Contains(string(text), "["+alert+"]("+alert+".md)") {
					t.Errorf("the index has no %s", alert)
				}
			}
			continue
		}
		pages = append(pages, name)
		if !strings.HasPrefix(string(text), "# "+name+"\n\nSeverity: ") {
			t.Errorf("%s begins otherwise", name)
		}
		var parts []string
		for _, heading := range regexp.MustCompile(`(?m)^## (.*)$`).FindAllStringSubmatch(string(text), -1) {
			parts = append(parts, heading[1])
		}
		if !slices.Equal(parts, runbookParts) {
			t.Errorf("%s has the parts %q, want %q", name, parts, runbookParts)
		}
		for _, r := range severities(t, name) {
			if heading, _, _ := strings.Cut(string(text), "\n## "); !strings.Contains(heading, r) {
				t.Errorf("%s does not name the severity %s", name, r)
			}
		}
	}
	names := alertNames(t)
	slices.Sort(names)
	slices.Sort(pages)
	if !slices.Equal(names, pages) {
		t.Errorf("the alerts are\n%q, the runbooks are for\n%q", names, pages)
	}
}

func severities(t *testing.T, alert string) (found []string) {
	t.Helper()
	eachRule(t, func(r rule) {
		if r.Alert == alert {
			found = append(found, r.Labels["severity"])
		}
	})
	return found
}

// Every selector begins with the namespace, where the chart puts its own.
func TestSelectorsNameTheNamespace(t *testing.T) {
	selector := regexp.MustCompile(`([A-Za-z_:][A-Za-z0-9_:]*)\s*(\{[^}]*\})?`)
	eachRule(t, func(r rule) {
		for _, m := range selector.FindAllStringSubmatch(withoutStrings(r.Expr), -1) {
			name, labels := m[1], m[2]
			if !isMetric(name) {
				continue
			}
			if !strings.HasPrefix(labels, `{namespace=~""`) {
				t.Errorf("%s%s: %s%s does not begin with %s", r.Alert, r.Record, name, labels, anyNamespace)
			}
		}
	})
}

// withoutStrings empties the strings of an expression.
func withoutStrings(expr string) string {
	return regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, `""`)
}

// isMetric tells metrics from PromQL's own words and from labels: all that we use have one of these beginnings.
func isMetric(name string) bool {
	return name == "up" || strings.HasPrefix(name, "namespace:") || regexp.MustCompile(`^(trailpost|rabbitmq|kubelet|kube|process)_`).MatchString(name) &&
		name != "rabbitmq_node"
}

// A rule uses metrics that exist: those of the code, those that a rule before it records, and those of others' real outputs.
func TestRulesUseMetricsThatExist(t *testing.T) {
	ours := codeMetrics(t)
	// RabbitMQ 4 has dropped the alarm of file descriptors.
	others := map[string][]string{
		"RabbitMQ 3.10": slices.Concat(metricList(t, "rabbitmq-3.10.8.txt"), metricList(t, "kubernetes.txt")),
		"RabbitMQ 4.3":  slices.Concat(metricList(t, "rabbitmq-4.3.6.txt"), metricList(t, "kubernetes.txt"), []string{"rabbitmq_alarms_file_descriptor_limit"}),
	}
	// The chart records it, where values know it.
	recorded := []string{"namespace:trailpost_queue_limit_bytes:max"}
	selector := regexp.MustCompile(`([A-Za-z_:][A-Za-z0-9_:]*)\{`)
	eachRule(t, func(r rule) {
		for _, m := range selector.FindAllStringSubmatch(r.Expr, -1) {
			name := m[1]
			switch {
			case strings.HasPrefix(name, "namespace:"):
				if !slices.Contains(recorded, name) {
					t.Errorf("%s%s: nothing before it records %s", r.Alert, r.Record, name)
				}
			case strings.HasPrefix(name, "trailpost_"):
				histogram := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
				if !slices.Contains(ours, name) && !slices.Contains(ours, histogram) {
					t.Errorf("%s%s: no code exports %s", r.Alert, r.Record, name)
				}
			default:
				for version, names := range others {
					if !slices.Contains(names, name) {
						t.Errorf("%s%s: %s has no %s", r.Alert, r.Record, version, name)
					}
				}
			}
		}
		if r.Record != "" {
			recorded = append(recorded, r.Record)
		}
	})
}

// codeMetrics are the names of all metrics in our code.
func codeMetrics(t *testing.T) (names []string) {
	t.Helper()
	name := regexp.MustCompile(`"(trailpost_[a-z0-9_]+)"`)
	err := filepath.WalkDir(services, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range name.FindAllStringSubmatch(string(text), -1) {
			names = append(names, m[1])
		}
		return err
	})
	if err != nil || len(names) < 20 {
		t.Fatalf("%d metrics in %s: %v", len(names), services, err)
	}
	return names
}

// metricList reads a list of what a server's /metrics had.
func metricList(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/metrics/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// Every alert has a promtool test in which it fires, and one in which it does not.
func TestAlertsHaveUnitTests(t *testing.T) {
	files, err := filepath.Glob(chart + "/rules/tests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var tests struct {
			Tests []struct {
				Alerts []struct {
					Name string `json:"alertname"`
					Exp  []struct {
						Labels map[string]string `json:"exp_labels"`
					} `json:"exp_alerts"`
				} `json:"alert_rule_test"`
			}
		}
		if err := yaml.Unmarshal(text, &tests); err != nil {
			t.Fatal(err)
		}
		for _, test := range tests.Tests {
			for _, alert := range test.Alerts {
				for _, exp := range alert.Exp {
					fires[alert.Name+" "+exp.Labels["severity"]] = true
				}
				if len(alert.Exp) == 0 {
					silent[alert.Name] = true
				}
			}
		}
	}
	eachRule(t, func(r rule) {
		if r.Alert == "" {
			return
		}
		if key := r.Alert + " " + r.Labels["severity"]; !fires[key] {
			t.Errorf("no unit test in which %s fires", key)
		}
		if !silent[r.Alert] {
			t.Errorf("no unit test in which %s is silent", r.Alert)
		}
	})
}
