package chart_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// k8s is the folder with the manifests for the operators.
const k8s = chart + "/../../k8s"

// rabbitmqCluster and postgresCluster are what these tests look at.
type rabbitmqCluster struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Replicas  int
		Image     string
		Resources corev1.ResourceRequirements
		TLS       struct{ SecretName string } `json:"tls"`
		Rabbitmq  struct{ AdditionalConfig string }
		Override  struct {
			StatefulSet struct {
				Spec struct{ Template struct{ Spec corev1.PodSpec } }
			}
		}
	}
}

type postgresCluster struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		Bootstrap struct {
			InitDB struct {
				Database, Owner string
				Secret          corev1.LocalObjectReference
			} `json:"initdb"`
		}
		Managed struct {
			Roles []struct {
				Name           string
				PasswordSecret corev1.LocalObjectReference
			}
		}
	}
}

// production is what kustomize makes of the overlay.
func production(t *testing.T) (objects []object, rabbitmq rabbitmqCluster, postgresql postgresCluster) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "tool", "-modfile=../../../hack/tools/kustomize/go.mod", "kustomize", "build", k8s+"/overlays/production")
	cmd.Env = append(cmd.Environ(), "GOWORK=off") // which -modfile excludes
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kustomize: %v%s", err, stderr(err))
	}
	objects = parse(t, out)
	for id, into := range map[string]any{"RabbitmqCluster/trailpost-rabbitmq": &rabbitmq, "Cluster/trailpost-postgresql": &postgresql} {
		if err := json.Unmarshal(find(t, objects, id).raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return objects, rabbitmq, postgresql
}

// The chart is told by values what the manifests say; nothing else would notice a difference before it runs.
func TestOperatorsValuesNameWhatIsThere(t *testing.T) {
	objects, rabbitmq, postgresql := production(t)
	manifests, refusal := runHelm(t, "template", release, chart, "--namespace", "trailpost", "-f", k8s+"/values-operators.yaml")
	if refusal != "" {
		t.Fatal(refusal)
	}
	ours := parse(t, manifests)
	settings := as[corev1.ConfigMap](t, find(t, ours, "ConfigMap/trailpost-consumer")).Data
	initdb := postgresql.Spec.Bootstrap.InitDB
	for name, want := range map[string]string{
		"RABBITMQ_HOST":       rabbitmq.Name,
		"RABBITMQ_PORT":       "5671",
		"RABBITMQ_QUEUE_TYPE": "existing",
		"RABBITMQ_TLS":        "true",
		// whose certificate has the Service's name (make-secrets, components/cert-manager)
		"RABBITMQ_MANAGEMENT_URL": "https://" + rabbitmq.Name + ":15671",
		"DATABASE_HOST":           postgresql.Name + "-rw",
		"DATABASE_NAME":           initdb.Database,
		"DATABASE_USER":           postgresql.Spec.Managed.Roles[0].Name,
		"DATABASE_SSLMODE":        "verify-full",
	} {
		if settings[name] != want {
			t.Errorf("%s is %q, want %q", name, settings[name], want)
		}
	}

	for _, p := range pods(t, ours) {
		for _, c := range p.containers() {
			for _, e := range c.Env {
				if e.Name == "MIGRATE_DATABASE_USER" && e.Value != initdb.Owner {
					t.Errorf("%s migrates as %s, want %s", p.of, e.Value, initdb.Owner)
				}
			}
		}
	}

	users := secretOf(t, rabbitmq.Spec.Override.StatefulSet.Spec.Template.Spec, "trailpost-users")
	known := []string{rabbitmq.Spec.TLS.SecretName, users, postgresql.Name + "-ca", initdb.Secret.Name}
	logins := map[string]string{initdb.Secret.Name: initdb.Owner}
	for _, role := range postgresql.Spec.Managed.Roles {
		known = append(known, role.PasswordSecret.Name)
		logins[role.PasswordSecret.Name] = role.Name
	}
	script, err := os.ReadFile(k8s + "/make-secrets")
	if err != nil {
		t.Fatal(err)
	}
	identity := as[appsv1.Deployment](t, find(t, ours, "Deployment/trailpost-producer")).Spec.Template.Spec
	known = append(known, secretOf(t, identity, "identity"))
	for secret, role := range logins {
		if !strings.Contains(string(script), "\nlogin "+secret+" "+role+"\n") {
			t.Errorf("k8s/make-secrets makes no %s for %s", secret, role)
		}
	}
	for _, name := range known {
		if made := strings.Contains(string(script), name); !made && name != postgresql.Name+"-ca" {
			t.Errorf("k8s/make-secrets makes no %s", name)
		}
	}
	used := map[string]bool{}
	for _, p := range pods(t, ours) {
		for _, volume := range p.spec.Volumes {
			if volume.Name == "identity" {
				used[volume.Secret.SecretName] = true
			}
			if volume.Projected == nil {
				continue
			}
			for _, source := range volume.Projected.Sources {
				if source.Secret != nil {
					used[source.Secret.Name] = true
				}
			}
		}
		if want := "trailpost"; p.of != "Pod/trailpost-selftest" && p.spec.PriorityClassName != want {
			t.Errorf("%s has the priority %q", p.of, p.spec.PriorityClassName)
		}
	}
	slices.Sort(known)
	if got := slices.Sorted(maps.Keys(used)); !slices.Equal(got, known) {
		t.Errorf("the chart's pods use the Secrets %q, want %q", got, known)
	}
	for _, o := range ours {
		if o.Kind == "Secret" {
			t.Errorf("%s: the chart makes a Secret", o.id())
		}
	}
	for _, name := range []string{"trailpost", "trailpost-servers"} {
		find(t, objects, "PriorityClass/"+name)
	}
}

// secretOf is the Secret of a volume.
func secretOf(t *testing.T, spec corev1.PodSpec, volume string) string {
	t.Helper()
	for _, v := range spec.Volumes {
		if v.Name == volume && v.Secret != nil {
			return v.Secret.SecretName
		}
	}
	t.Fatalf("there is no volume %s of a Secret", volume)
	return ""
}

// A change of the definitions starts the nodes anew: the ConfigMap's name has its hash.
func TestOperatorsDefinitionsAreMounted(t *testing.T) {
	objects, rabbitmq, _ := production(t)
	spec := rabbitmq.Spec.Override.StatefulSet.Spec.Template.Spec
	for _, v := range spec.Volumes {
		if v.Name == "trailpost-definitions" {
			m := as[corev1.ConfigMap](t, find(t, objects, "ConfigMap/"+v.ConfigMap.Name))
			if m.Name == "trailpost-rabbitmq-definitions" || m.Data["definitions.json"] == "" || m.Data["prepare.sh"] == "" {
				t.Errorf("%s has %d files", m.Name, len(m.Data))
			}
		}
	}
	for _, c := range spec.InitContainers {
		if c.Name == "trailpost-prepare" && c.Image != rabbitmq.Spec.Image {
			t.Errorf("the definitions are prepared by %s, the nodes are %s", c.Image, rabbitmq.Spec.Image)
		}
	}
	if request, limit := rabbitmq.Spec.Resources.Requests.Memory(), rabbitmq.Spec.Resources.Limits.Memory(); !request.Equal(*limit) {
		t.Errorf("%s of memory requested, %s allowed", request, limit)
	}
}

// Queues, users, rights and policies are the chart's.
func TestOperatorsDefinitionsAreTheCharts(t *testing.T) {
	text, err := os.ReadFile(k8s + "/base/rabbitmq/definitions.json")
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("@administrator-password@"), []byte("@admin-password@"))
	text = bytes.ReplaceAll(text, []byte("@administrator@"), []byte("admin"))
	charts := rabbitFiles(t, "--set", "queue.maxLengthBytes=8589934592")["definitions.json"]
	var got, want map[string]any
	for text, into := range map[string]*map[string]any{string(text): &got, charts: &want} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
		for _, list := range *into {
			slices.SortFunc(list.([]any), func(a, b any) int { return strings.Compare(render(t, a), render(t, b)) })
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("k8s/ defines\n%s, the chart\n%s", render(t, got), render(t, want))
	}
}

// What Trailpost needs of the broker's configuration is in both.
func TestOperatorsConfigurationIsTheCharts(t *testing.T) {
	_, rabbitmq, _ := production(t)
	settings := func(text string) map[string]string {
		found := map[string]string{}
		for line := range strings.Lines(text) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), " = "); ok {
				found[key] = value
			}
		}
		return found
	}
	got := settings(rabbitmq.Spec.Rabbitmq.AdditionalConfig)
	for key, want := range settings(rabbitFiles(t, "--set", "replicas=3")["10-trailpost.conf"]) {
		if strings.HasPrefix(key, "quorum_queue.") || strings.HasPrefix(key, "raft.") || key == "queue_leader_locator" || key == "anonymous_login_user" {
			if got[key] != want {
				t.Errorf("%s is %q, the chart's %q", key, got[key], want)
			}
		}
	}
}

// What runs before the operator's node is the chart's script with other folders.
func TestOperatorsPasswordsAreHashed(t *testing.T) {
	secrets := map[string]map[string]string{
		"users":         {"producer-password": "it's \"odd\" & $1 \\n %s ü", "consumer-password": "plain\n"},
		"administrator": {"username": "default_user_aB3-_=", "password": "@producer-password@"},
	}
	root := t.TempDir()
	run := func() ([]byte, error) {
		args := []string{k8s + "/base/rabbitmq/prepare.sh", k8s + "/base/rabbitmq"}
		for _, folder := range []string{"users", "administrator", "data", "run"} {
			dir := filepath.Join(root, folder)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for key, value := range secrets[folder] {
				if err := os.WriteFile(filepath.Join(dir, key), []byte(value), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			args = append(args, dir)
		}
		cmd := exec.CommandContext(t.Context(), "bash", args...)
		cmd.Env = append(os.Environ(), "POD_NAME=trailpost-rabbitmq-server-1", "POD_NAMESPACE=ns")
		return cmd.CombinedOutput()
	}
	if out, err := run(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(root, "run", "definitions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d definitions
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	passwords := map[string]string{
		secrets["administrator"]["username"]: secrets["administrator"]["password"],
		"producer":                           secrets["users"]["producer-password"],
		"consumer":                           "plain",
	}
	for _, u := range d.Users {
		salted, err := base64.StdEncoding.DecodeString(u.PasswordHash)
		if err != nil || len(salted) != 4+sha256.Size {
			t.Fatalf("%s: the hash %q (%v)", u.Name, u.PasswordHash, err)
		}
		want := sha256.Sum256(append(bytes.Clone(salted[:4]), passwords[u.Name]...))
		if !bytes.Equal(salted[4:], want[:]) {
			t.Errorf("%s: the hash is another password's", u.Name)
		}
	}
	if len(d.Users) != 3 || d.Permissions[0].User != secrets["administrator"]["username"] {
		t.Errorf("users %v, rights %v", d.Users, d.Permissions)
	}

	secrets["users"]["consumer-password"] = ""
	if out, err := run(); err == nil || !strings.Contains(string(out), "consumer-password of the Secret is empty") {
		t.Errorf("an empty password: %v, %q", err, out)
	}
	secrets["users"]["consumer-password"], secrets["administrator"]["username"] = "x", `a"b`
	if out, err := run(); err == nil || !strings.Contains(string(out), "administrator's name") {
		t.Errorf("an odd name: %v, %q", err, out)
	}
}

// The namespace denies everything; so the manifests and the chart together have to name every way that is needed.
func TestOperatorsPoliciesLetTheTrailThrough(t *testing.T) {
	objects, rabbitmq, postgresql := production(t)
	ours := parse(t, mustTemplate(t, "-f", k8s+"/values-operators.yaml"))
	all := append(policies(t, objects), policies(t, ours)...)
	named := map[string]pod{
		// as the operators label them
		"rabbitmq":   {metadata: metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/name": rabbitmq.Name, "app.kubernetes.io/component": "rabbitmq", "app.kubernetes.io/part-of": "rabbitmq"}}},
		"postgresql": {metadata: metav1.ObjectMeta{Labels: map[string]string{"cnpg.io/cluster": postgresql.Name, "cnpg.io/podRole": "instance"}}},
	}
	for _, p := range pods(t, ours) {
		named[p.metadata.Labels["app.kubernetes.io/component"]] = p
	}
	for _, way := range []struct {
		from, to string
		port     int32
		open     bool
	}{
		{"producer", "rabbitmq", 5671, true},
		{"consumer", "rabbitmq", 5671, true},
		{"consumer", "postgresql", 5432, true},
		{"migrate", "postgresql", 5432, true},
		{"test", "postgresql", 5432, true},
		{"test", "producer", 8001, true},
		{"rabbitmq", "rabbitmq", 4369, true},
		{"rabbitmq", "rabbitmq", 25672, true},
		{"rabbitmq", "rabbitmq", 5671, true},
		{"postgresql", "postgresql", 5432, true},
		{"postgresql", "postgresql", 8000, true},
		{"producer", "postgresql", 5432, false},
		{"migrate", "rabbitmq", 5671, false},
		{"rabbitmq", "postgresql", 5432, false},
		{"producer", "rabbitmq", 15671, true},
		{"consumer", "rabbitmq", 15671, true},
		{"migrate", "rabbitmq", 15671, false},
		{"consumer", "rabbitmq", 15672, false},
	} {
		from, fromOK := named[way.from]
		to, toOK := named[way.to]
		if !fromOK || !toOK {
			t.Fatalf("no pod of %s or of %s", way.from, way.to)
		}
		if out, in := reaches(t, all, from, to, way.port); (out && in) != way.open {
			t.Errorf("%s to %s:%d: out %v, in %v", way.from, way.to, way.port, out, in)
		}
	}
	for _, p := range pods(t, ours) {
		own := slices.ContainsFunc(policies(t, ours), func(policy networkingv1.NetworkPolicy) bool { return selects(t, policy.Spec.PodSelector, p) })
		if !own {
			t.Errorf("%s has no policy: it could not even ask for a name's address", p.of)
		}
	}
}
