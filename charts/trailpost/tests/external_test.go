package chart_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// setPolicy is rabbitmqctl's command, written over several lines or in comments.
var setPolicy = regexp.MustCompile(`set_policy((?: --?[a-z-]+ \S+)*) (\S+) '([^']+)' '(\{[^']+\})'((?: --[a-z-]+ \S+)*)`)

// oneLine joins what Markdown and comments break.
func oneLine(text string) string {
	return regexp.MustCompile(`\s*\\?\n(#|\s)*`).ReplaceAllString(text, " ")
}

// What people are told to type on a broker of their own is what the chart sets on its own: for both queues, above others'
// policies, and refusing where it limits.
func TestPoliciesThatPeopleAreToldToSet(t *testing.T) {
	want := map[string]map[string]any{}
	d := rabbitDefinitions(t)
	for i, name := range []string{"trailpost", "trailpost-dead"} {
		want[name] = d.Policies[i].Definition
		delete(want[name], "consumer-timeout")
	}
	files := map[string][]string{} // to the policies in it
	root := chart + "/../.."
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "bin") {
			return filepath.SkipDir
		}
		if !slices.Contains([]string{".md", ".gotmpl"}, filepath.Ext(path)) && filepath.Base(path) != "values-external.yaml" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range setPolicy.FindAllStringSubmatch(oneLine(string(text)), -1) {
			name, pattern, flags := match[2], match[3], match[1]+match[5]
			if want[name] == nil {
				continue
			}
			files[filepath.Base(path)] = append(files[filepath.Base(path)], name)
			var got map[string]any
			if err := json.Unmarshal([]byte(match[4]), &got); err != nil {
				t.Errorf("%s: %v in %s", path, err, match[0])
			}
			// To be chosen, and of RabbitMQ 3.12 and later.
			delete(got, "max-length-bytes")
			delete(got, "consumer-timeout")
			if !reflect.DeepEqual(got, want[name]) {
				t.Errorf("%s sets %s to %v, the chart to %v", path, name, got, want[name])
			}
			queue := map[string]string{"trailpost": "", "trailpost-dead": ".dead"}[name]
			for _, base := range []string{"log_queue", "trail"} {
				if p := regexp.MustCompile(pattern); strings.Contains(pattern, base) && (!p.MatchString(base+queue) || p.MatchString(base+".dead") != (queue != "")) {
					t.Errorf("%s sets %s for %s", path, name, pattern)
				}
			}
			if i := strings.Index(flags, "--priority "); i < 0 {
				t.Errorf("%s sets %s without a priority", path, name)
			} else if n, err := strconv.Atoi(strings.Fields(flags[i:])[1]); err != nil || n != d.Policies[0].Priority {
				t.Errorf("%s sets %s with the priority %d, the chart with %d", path, name, n, d.Policies[0].Priority)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	both := []string{"trailpost", "trailpost-dead"}
	for file, policies := range map[string][]string{
		"operating.md": both, "values-external.yaml": both, "TrailpostPolicyDrops.md": both, "TrailpostQueueFillingUp.md": {"trailpost"},
	} {
		if !slices.Equal(files[file], policies) {
			t.Errorf("%s sets the policies %v, want %v", file, files[file], policies)
		}
	}
	t.Log(slices.Sorted(maps.Keys(files)))
}

// Without its URL nobody asks an external broker; with it, its port is open.
func TestManagementOfAnExternalBroker(t *testing.T) {
	external := []string{"-f", chart + "/values-external.yaml", "--set", "networkPolicy.enabled=true"}
	for url, port := range map[string]int32{
		"":                                  0,
		"https://mq.example.org:15671":      15671,
		"https://mq.example.org:15672/path": 15672,
		"https://mq.example.org":            443,
		"https://[2001:db8::1]":             443,
		"http://127.0.0.1:15672":            15672,
	} {
		objects := parse(t, mustTemplate(t, append(slices.Clone(external), "--set-string", "externalRabbitmq.managementUrl="+url)...))
		for _, component := range []string{"producer", "consumer"} {
			settings := as[corev1.ConfigMap](t, find(t, objects, "ConfigMap/trailpost-"+component)).Data
			if got, is := settings["RABBITMQ_MANAGEMENT_URL"]; got != url || is != (url != "") {
				t.Errorf("%s: %s asks %q", url, component, got)
			}
			open := map[int32]bool{}
			for _, policy := range policies(t, objects) {
				for _, rule := range policy.Spec.Egress {
					if policy.Name != "trailpost-"+component {
						continue
					}
					for _, p := range rule.Ports {
						open[p.Port.IntVal] = true
					}
				}
			}
			want := map[int32]bool{53: true, 5353: true, 5671: true}
			if component == "consumer" {
				want[5432] = true
			}
			if port != 0 {
				want[port] = true
			}
			if !maps.Equal(open, want) {
				t.Errorf("%s: %s reaches the ports %v, want %v", url, component, open, want)
			}
		}
	}
}

// The subchart's broker is asked where it has the API, and policies that lose events are accepted by nobody who didn't say so.
func TestPoliciesAreLookedAt(t *testing.T) {
	for args, want := range map[string]map[string]string{
		"logLevel=INFO":                     {"RABBITMQ_MANAGEMENT_URL": "http://trailpost-rabbitmq:15672", "RABBITMQ_ALLOW_LOSSY_POLICIES": "false"},
		"rabbitmq.management.enabled=false": {"RABBITMQ_MANAGEMENT_URL": "", "RABBITMQ_ALLOW_LOSSY_POLICIES": "false"},
		"allowLossyPolicies=true":           {"RABBITMQ_MANAGEMENT_URL": "http://trailpost-rabbitmq:15672", "RABBITMQ_ALLOW_LOSSY_POLICIES": "true"},
	} {
		objects := parse(t, mustTemplate(t, "--set", args))
		for _, component := range []string{"producer", "consumer"} {
			settings := as[corev1.ConfigMap](t, find(t, objects, "ConfigMap/trailpost-"+component)).Data
			for name, value := range want {
				if settings[name] != value {
					t.Errorf("%s: the %s's %s is %q, want %q", args, component, name, settings[name], value)
				}
			}
		}
	}
}

// libpq's list of hosts passes as it is.
func TestExternalDatabaseOfSeveralHosts(t *testing.T) {
	objects := parse(t, mustTemplate(t, "-f", chart+"/values-external.yaml", "--set", `externalDatabase.host=pg-0.example.org\,pg-1.example.org`))
	asked := 0
	for _, p := range pods(t, objects) {
		for _, c := range p.containers() {
			if host, ok := environment(t, objects, c)["DATABASE_HOST"]; ok {
				asked++
				if host != "pg-0.example.org,pg-1.example.org" {
					t.Errorf("%s: DATABASE_HOST is %q", p.of, host)
				}
			}
		}
	}
	if asked == 0 {
		t.Error("nobody asks the database")
	}
}
