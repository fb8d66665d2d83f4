//go:build e2e

package e2e

import (
	"maps"
	"regexp"
	"strings"
	"testing"
)

// TestMakeSecrets: k8s/make-secrets makes what is missing, and neither a second run nor anybody's mistake changes the
// installation's identity key.
func TestMakeSecrets(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	made := func() map[string]string {
		t.Helper()
		if _, err := command(t.Context(), "k8s/make-secrets", "--namespace", n.name, "--without-certificate"); err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, name := range []string{"trailpost-identity-key", "trailpost-rabbitmq-users", "trailpost-producer-keys", "trailpost-database-owner"} {
			for key, value := range n.secret(t, name) {
				all[name+"/"+key] = value
			}
		}
		return all
	}
	first := made()
	if key := first["trailpost-identity-key/identity-key"]; !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(key) {
		t.Errorf("the identity key is %q", key)
	}
	if !maps.Equal(made(), first) {
		t.Error("a second run has changed a Secret")
	}
	_, err := command(t.Context(), "kubectl", "--namespace", n.name, "patch", "secret", "trailpost-identity-key",
		`--patch={"stringData":{"identity-key":"`+strings.Repeat("01", 32)+`"}}`)
	if err == nil || !strings.Contains(err.Error(), "immutable") {
		t.Errorf("another identity key is taken: %v", err)
	}
}
