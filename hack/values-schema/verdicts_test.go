package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const charts = "../../charts/trailpost"

// verdicts are what the three schemas, which were once written by hand, accepted and refused: each
// shape and each kind of limit at one value that has it.
var verdicts = []struct {
	chart, path       string
	accepted, refused string // JSON values with blanks between
}{
	{"", "nameOverride", `"" "x"`, `null 1 true [] {}`},
	{"", "nameOverwrite", ``, `"" null {}`},
	{"", "commonLabels", `{} {"a":"b"}`, `{"a":1} {"a":null} []`},
	{"", "imagePullSecrets", `[] ["x"]`, `[""] [1] [null] {} "x"`},
	{"", "global", `{} {"other":1}`, `{"imageX":"x"} {"ImageRegistry":"x"} [] null`},
	{"", "global.dnsPorts", `[53] [53,5353]`, `[] [0] [65536] [53,53] ["53"] null`},
	{"", "global.tls.issuerRef", `{} {"name":"i"} {"name":"i","kind":"Issuer","group":"g"}`, `{"kind":"Issuer"} {"group":"g"} {"name":""} {"issuer":"i"}`},
	{"", "logLevel", `"DEBUG" "CRITICAL"`, `"debug" "TRACE" "" null 1`},
	{"", "podSecurityContext", `{} {"runAsUser":1} {"other":[]}`, `null [] "x"`},
	{"", "producer.image.digest", `"" "sha256:` + strings.Repeat("0a", 32) + `"`, `"latest" "sha256:0a" null`},
	{"", "producer.replicas", `null 0 3 2.0`, `-1 1.5 "2" true`},
	{"", "producer.eventsPerMessage", `1 1000`, `0 1001 null "64"`},
	{"", "producer.memoryBudget", `"64MiB"`, `64 "64" "64Mi" "MiB" ""`},
	{"", "producer.eventIdMaxAge", `"720h" "1h30m" "1.5d"`, `"" "720" "long" 720 null`},
	{"", "producer.trustedProxies", `[] ["10.0.0.0/8","::1"]`, `["proxy"] "10.0.0.0/8" [1]`},
	{"", "producer.corsOrigins", `[] ["*"] ["https://a:8443"]`, `["a"] ["https://a/path"] ["https://a, https://b"] "*"`},
	{"", "producer.service.port", `1 65535`, `0 65536 null "80"`},
	{"", "producer.service.nodePort", `null 1 65535`, `0 65536 "80"`},
	{"", "producer.ingress.hosts", `[] [{"paths":[{"path":"/","pathType":"Exact"}]}]`, `[{}] [{"paths":[]}] [{"paths":[{}]}] [{"host":"h","path":"/"}] [{"paths":[{"path":"/","pathType":"exact"}]}]`},
	{"", "producer.ingress.tls", `[] [{"secretName":"s","hosts":["h"]}]`, `[{"secret":"s"}] [{"hosts":[""]}]`},
	{"", "producer.httpRoute.parentRefs", `[] [{"name":"g","sectionName":"s"}]`, `[{}] ["g"]`},
	{"", "producer.httpRoute.matches", `[] [{"path":{}}]`, `["/"] {}`},
	{"", "producer.podDisruptionBudget.maxUnavailable", `0 1 "50%"`, `-1 "1" "1000%" null`},
	{"", "producer.resources", `{} {"requests":{"cpu":1},"limits":{},"claims":[{}]}`, `{"limit":{}} {"claims":[1]} {"requests":1} null`},
	{"", "producer.extraEnv", `[] [{"name":"A","value":"x"}] [{"name":"A","valueFrom":{}}]`, `[{}] [{"name":""}] [{"name":"A","value":1}] [{"name":"A","from":{}}] {}`},
	{"", "partitions.ensure.schedule", `"23 1 * * *"`, `"" "@daily" null`},
	{"", "partitions.retention.olderThan", `"400d"`, `"400" 400 "57w" "100000d"`},
	{"", "partitions.retention.persistence.size", `"20Gi" 1 "1.5T"`, `"20GB" 0 "" null`},
	{"", "partitions.retention.persistence.accessModes", `["ReadWriteOnce"]`, `[] ["ReadOnlyMany"] "ReadWriteOnce"`},
	{"", "database.name", `"x" "` + strings.Repeat("x", 63) + `"`, `"" "` + strings.Repeat("x", 64) + `" null`},
	{"", "database.existingSecret", `"" "` + strings.Repeat("x", 253) + `"`, `"` + strings.Repeat("x", 254) + `" null`},
	{"", "externalRabbitmq.managementUrl", `"" "https://r:15671/rabbitmq"`, `"r:15672" "https://u:p@r" "https://r?x" null`},
	{"", "tracing.sampler", `"traceidratio" "parentbased_always_off"`, `"jaeger_remote" "" null`},
	{"", "tracing.samplerArg", `0 0.5 1`, `-0.1 1.1 "0.5" null`},
	{"", "metrics.dashboards.label", `"grafana_dashboard" "a.b/c"`, `"" "a b" "-a" null`},
	{"", "metrics.prometheusRule.disabled", `[] ["TrailpostLossLedger"]`, `["LossLedger"] [""] {}`},
	{"", "metrics.prometheusRule.for", `{} {"TrailpostNoConsumer":"10m"}`, `{"TrailpostNoConsumer":"long"} {"TrailpostNoConsumer":10} []`},
	{"", "rabbitmq.replicas", `1 "any, since its own schema says more"`, ``},
	{"", "rabbitmq.replicaCount", ``, `1 null`},
	{"", "postgresql.enabled", `true false`, `"true" null`},
	{"postgresql", "enabled", `true false`, `"true" null`},
	{"postgresql", "global", `{} {"other":1} {"imageX":1}`, `[] null`},
	{"postgresql", "auth.existingSecret", `"" "a-b.c"`, `"A" "a_b" "-a" null`},
	{"postgresql", "auth.password", `"" "it's \"odd\" $1"`, `"a\nb" "a\u0000b" null`},
	{"postgresql", "database", `"" "trail"`, `"a\"b" "` + strings.Repeat("x", 64) + `" null`},
	{"postgresql", "config", `{} {"work_mem":"1MB"} {"pg_stat_statements.max":1} {"jit":false}`, `{"fsync":"on"} {"full_page_writes":true} {"synchronous_commit":"on"} {"Work_Mem":1} {"work_mem":null}`},
	{"postgresql", "replicas", ``, `1 null`},
	{"rabbitmq", "replicas", `1 3`, `0 2 5 "1" null`},
	{"rabbitmq", "auth.erlangCookie", `"" "a_B-1"`, `"a b" "` + strings.Repeat("x", 256) + `" null`},
	{"rabbitmq", "queue.name", `"log_queue" "a b"`, `"" "a\tb" "` + strings.Repeat("x", 251) + `"`},
	{"rabbitmq", "queue.maxLengthBytes", `null 1048576`, `1048575 "1Gi"`},
	{"rabbitmq", "memoryHighWatermark", `0.6 0.9 "0.6" ".5"`, `0 0.91 1.5 "1.5" "60%" null`},
	{"rabbitmq", "diskFreeLimit", `"1GiB" "1.5GB"`, `"1Gi" 1 "" null`},
	{"rabbitmq", "extraPlugins", `[] ["rabbitmq_tracing"]`, `["Tracing"] [""] "x"`},
	{"rabbitmq", "metrics.serviceMonitor.interval", `"30s" "1m30s"`, `"1.5m" "1d" "" null`},
	{"rabbitmq", "metrics.serviceMonitor.scrapeTimeout", `"" "10s"`, `"10" null`},
	{"rabbitmq", "resources", `{"limits":{"memory":"1Gi"}} {"limits":{"memory":1}}`, `{} {"limits":{}} {"limits":{"memory":"1GB"}} {"limits":{"memory":null}}`},
}

func TestVerdicts(t *testing.T) {
	schemas := compiled(t)
	for _, v := range verdicts {
		for _, each := range []struct {
			values string
			want   bool
		}{{v.accepted, true}, {v.refused, false}} {
			values := json.NewDecoder(strings.NewReader(each.values))
			for values.More() {
				var value any
				if err := values.Decode(&value); err != nil {
					t.Fatalf("%s: %v", v.path, err)
				}
				if err := schemas[v.chart].Validate(at(v.path, value)); (err == nil) != each.want {
					t.Errorf("%s %s: %#v: accepted %v, want %v: %v", v.chart, v.path, value, err == nil, each.want, err)
				}
			}
		}
	}
}

// open are the values whose keys are anybody's: Kubernetes', or names that the user chooses.
var open = []string{
	"global", "podSecurityContext", "containerSecurityContext", "behavior", "affinity",
	"commonLabels", "podLabels", "podAnnotations", "annotations", "labels", "nodeSelector",
	"requests", "limits", "resourceAttributes", "for", "config",
}

// The defaults are accepted, and below them a key that does not exist and a value of another
// type are refused: whatever is added to values.yaml is guarded from the start.
func TestEveryValueIsGuarded(t *testing.T) {
	for chart, s := range compiled(t) {
		var defaults map[string]any
		if err := readYAML(filepath.Join(folder(chart), "values.yaml"), &defaults); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(defaults); err != nil {
			t.Errorf("%s: the defaults: %v", chart, err)
		}
		checked := 0
		var walk func(path string, values map[string]any)
		walk = func(path string, values map[string]any) {
			for key, value := range values {
				path := strings.TrimPrefix(path+"."+key, ".")
				checked++
				if s.Validate(at(path, []any{[]any{}})) == nil {
					t.Errorf("%s: %s takes a list of lists", chart, path)
				}
				below, ok := value.(map[string]any)
				if !ok || slices.Contains(open, key) && key != "global" {
					continue
				}
				if key != "global" && s.Validate(at(path+".unknown", "x")) == nil {
					t.Errorf("%s: %s takes an unknown key", chart, path)
				}
				walk(path, below)
			}
		}
		walk("", defaults)
		if checked < 50 {
			t.Errorf("%s: only %d values were seen", chart, checked)
		}
	}
}

// folder returns the folder of a subchart, or of the chart ("").
func folder(chart string) string {
	if chart == "" {
		return charts
	}
	return filepath.Join(charts, "charts", chart)
}

// compiled returns the schemas as values.yaml would have them, not as the files are.
func compiled(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	schemas, err := generate(charts)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*jsonschema.Schema{}
	for _, chart := range []string{"", "postgresql", "rabbitmq"} {
		text, err := encode(schemas[folder(chart)])
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("values.schema.json", document); err != nil {
			t.Fatal(err)
		}
		if all[chart], err = compiler.Compile("values.schema.json"); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// at returns values with one at a path: a.b is {a: {b: value}}.
func at(path string, value any) any {
	for _, key := range slices.Backward(strings.Split(path, ".")) {
		value = map[string]any{key: value}
	}
	return value
}
