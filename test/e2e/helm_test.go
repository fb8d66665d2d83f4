//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// helm is a helm binary, of version 3 or 4.
type helm string

// installLimit is how long an install with the default values may take.
const installLimit = 5 * time.Minute

// release is a release named trailpost in a namespace.
type release struct {
	*namespace
	helm   helm
	chart  string   // folder
	values []string // of --set, all of them; nothing is remembered from the last upgrade
}

// newRelease is the work tree's chart with its default values and the images with
// that tag. It is not installed yet.
func newRelease(n *namespace, binary helm, tag string, values ...string) *release {
	return &release{namespace: n, helm: binary, chart: filepath.Join(machine.root, "charts", "trailpost"), values: append(imageTags(tag), values...)}
}

// besideOthers are the values of a test that runs together with others: a small
// machine's scheduler has no room for two servers' usual requests more than once.
var besideOthers = []string{"rabbitmq.resources.requests.cpu=20m", "postgresql.resources.requests.cpu=20m"}

func imageTags(tag string) []string {
	return []string{"producer.image.tag=" + tag, "consumer.image.tag=" + tag}
}

// with is the same release with other values behind its own.
func (r *release) with(values ...string) *release {
	other := *r
	other.values = append(slices.Clip(r.values), values...)
	return &other
}

// install is `helm install --wait`.
func (r *release) install(t *testing.T) {
	t.Helper()
	start := time.Now()
	r.deploy(t, "install")
	t.Logf("installed by %s within %s", filepath.Base(string(r.helm)), time.Since(start).Round(time.Second))
}

// upgrade is `helm upgrade --wait`.
func (r *release) upgrade(t *testing.T) {
	t.Helper()
	r.deploy(t, "upgrade")
}

func (r *release) deploy(t *testing.T, verb string) {
	t.Helper()
	args := []string{verb, "trailpost", r.chart, "--wait", "--timeout", installLimit.String()}
	for _, value := range r.values {
		args = append(args, "--set", value)
	}
	r.run(t, args...)
}

// warning finds the lines by which helm passes on what the API server, or its own
// client, warns of.
var warning = regexp.MustCompile(`(?m)^(W\d{4} .*|.*\b[Ww][Aa][Rr][Nn].*)$`)

// run runs helm on the release's namespace. An error or a warning fails the test.
func (r *release) run(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	stdout, stderr, err := commandIn(t.Context(), machine.root, string(r.helm), append(args, "--namespace", r.name)...)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range warning.FindAllString(stderr, -1) {
		t.Errorf("%s %s warns: %s", filepath.Base(string(r.helm)), args[0], line)
	}
	return stdout
}

// test is `helm test`.
func (r *release) test(t *testing.T) {
	t.Helper()
	if out := r.run(t, "test", "trailpost", "--timeout", "3m"); !strings.Contains(out, "Succeeded") {
		t.Errorf("helm test succeeded without a test:\n%s", out)
	}
}

// uninstall is `helm uninstall --wait`.
func (r *release) uninstall(t *testing.T) {
	t.Helper()
	r.run(t, "uninstall", "trailpost", "--wait", "--timeout", "3m")
}

// revision is the number of the release's revision that is deployed.
func (r *release) revision(t *testing.T) int {
	t.Helper()
	var revisions []struct {
		Revision int    `json:"revision"`
		Status   string `json:"status"`
	}
	if err := json.Unmarshal([]byte(r.run(t, "history", "trailpost", "--output", "json")), &revisions); err != nil {
		t.Fatal(err)
	}
	for _, revision := range revisions {
		if revision.Status == "deployed" {
			return revision.Revision
		}
	}
	t.Fatal("no revision is deployed")
	return 0
}

// rollback is `helm rollback --wait`.
func (r *release) rollback(t *testing.T, revision int) {
	t.Helper()
	r.run(t, "rollback", "trailpost", fmt.Sprint(revision), "--wait", "--timeout", installLimit.String())
}

// TestWarning has lines that Helm 3 and 4 print, both by way of client-go.
func TestWarning(t *testing.T) {
	for _, line := range []string{
		`I1124 20:18:25.361455     990 warnings.go:107] "Warning: would violate PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false"`,
		`W1124 20:18:25.361455     990 warnings.go:70] unknown field "spec.replica"`,
		`WARNING: Kubernetes configuration file is group-readable. This is insecure. Location: kubeconfig`,
		`level=WARN msg="unable to find exact version; falling back to closest available version"`,
	} {
		if found := warning.FindAllString("NAME: trailpost\n"+line+"\n", -1); len(found) != 1 || found[0] != line {
			t.Errorf("in %s: found %q", line, found)
		}
	}
	if found := warning.FindString("NAME: trailpost\nSTATUS: deployed\n"); found != "" {
		t.Errorf("found %q where nothing is", found)
	}
}
