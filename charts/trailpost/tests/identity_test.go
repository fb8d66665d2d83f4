package chart_test

import (
	"regexp"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// identityKey is a key as services/internal/config reads it.
var identityKey = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Producers and consumers, and dead-letters, which runs in a consumer's pod, have one key between them: as a file, since others
// can read a pod's variables.
func TestEveryServiceHasTheIdentityKey(t *testing.T) {
	inEachSet(t, func(t *testing.T, objects []object) {
		var secrets []string
		for _, p := range pods(t, objects) {
			for _, c := range p.containers() {
				env := environment(t, objects, c)
				if env["RABBITMQ_HOST"] == "" || c.Name == "roles" {
					continue
				}
				if env["IDENTITY_KEY"] != "" {
					t.Errorf("%s: the key is among the variables", p.of)
				}
				if env["IDENTITY_KEY_FILE"] == "" {
					t.Errorf("%s: container %s has no identity key", p.of, c.Name)
					continue
				}
				secret, key := secretOfFile(t, p, c, env["IDENTITY_KEY_FILE"])
				if key != "identity-key" {
					t.Errorf("%s: its identity key is the key %q of %s", p.of, key, secret)
				}
				secrets = append(secrets, secret)
			}
		}
		if len(secrets) != 3 { // the producer, the consumer and what waits before it
			t.Errorf("%d containers have an identity key", len(secrets))
		}
		for _, secret := range secrets {
			if secret != secrets[0] {
				t.Errorf("two keys: %s and %s", secrets[0], secret)
			}
		}
	})
}

// The Secret is of a form that the services take, another in each installation, outlives the release, and can't be replaced by
// someone who renders the chart without asking the cluster.
func TestIdentityKeyIsMadeOnce(t *testing.T) {
	seen := map[string]bool{}
	for range 3 {
		secret := as[corev1.Secret](t, find(t, parse(t, mustTemplate(t)), "Secret/trailpost-identity-key"))
		key := string(secret.Data["identity-key"])
		if !identityKey.MatchString(key) || seen[key] {
			t.Errorf("the key is %q, and another's is the same: %v", key, seen[key])
		}
		seen[key] = true
		if secret.Annotations["helm.sh/resource-policy"] != "keep" || secret.Immutable == nil || !*secret.Immutable {
			t.Errorf("the Secret goes with the release, or can be changed: %v, %v", secret.Annotations, secret.Immutable)
		}
	}
	for _, o := range parse(t, mustTemplate(t, "--set", "identityKey.existingSecret=mine")) {
		if _, made := o.Annotations["helm.sh/resource-policy"]; made && o.Kind == "Secret" && as[corev1.Secret](t, o).Data["identity-key"] != nil {
			t.Errorf("there is an existing Secret, and the chart makes %s", o.id())
		}
	}
}
