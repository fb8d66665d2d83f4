//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/test/ledger"
)

// TestSkaffold: skaffold builds, loads and installs a source tree, brings a change of
// its code to the cluster without touching the servers, and takes away all but what
// stays.
func TestSkaffold(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	dir := copySource(t)
	skaffold := func(verb string, args ...string) {
		t.Helper()
		args = append([]string{verb, "--namespace", n.name, "--interactive=false", "--update-check=false"}, args...)
		if _, _, err := commandIn(t.Context(), dir, machine.skaffold, args...); err != nil {
			t.Fatal(err)
		}
	}
	built := filepath.Join(t.TempDir(), "skaffold-cache")
	tellsOfItself := func(want string) {
		t.Helper()
		help, err := n.exec(t.Context(), n.podOf(t, "producer"), "producer", "/producer", "--help")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(help, want) {
			t.Errorf("the producer says %q, want it to begin with %q", help, want)
		}
	}

	const before, after = "Takes events over HTTP", "Takes an e2e test's events over HTTP"
	skaffold("run", "--cache-file", built)
	n.waitDeployment(t, "trailpost-producer")
	tellsOfItself(before)
	c := n.newClient(t, n.openDoor(t))
	c.Pour(t.Context(), nil, ledger.Pace{Events: 500, PerSecond: 1000, Batch: 50})
	n.compare(t, c.Ledger)
	servers := n.servers(t)

	edit(t, filepath.Join(dir, "services", "producer", "main.go"), before, after)
	skaffold("run", "--cache-file", built)
	n.waitDeployment(t, "trailpost-producer")
	tellsOfItself(after)
	if got := n.servers(t); got != servers {
		t.Errorf("a change of the producer has restarted a server: pods %s, were %s", got, servers)
	}
	n.compare(t, c.Ledger)

	skaffold("delete")
	n.holdsOnlyWhatStays(t)
}

// servers are the identities of the servers' pods.
func (n *namespace) servers(t *testing.T) string {
	t.Helper()
	var ids []string
	for _, component := range []string{"trailpost-rabbitmq-0", "trailpost-postgresql-0"} {
		ids = append(ids, n.identity(t, component))
	}
	return strings.Join(ids, " ")
}

// edit replaces a text of a file, which must be in there.
func edit(t *testing.T, path, before, after string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(content, []byte(before)) {
		t.Fatalf("%s does not have %q", path, before)
	}
	if err := os.WriteFile(path, bytes.Replace(content, []byte(before), []byte(after), 1), 0o644); err != nil {
		t.Fatal(err)
	}
}
