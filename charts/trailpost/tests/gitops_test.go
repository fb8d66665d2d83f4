package chart_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func render(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Tools that render at every sync would bring a new password each time.
func TestGitOpsRendersTheSameTwice(t *testing.T) {
	for name, args := range map[string][]string{"gitops": gitops, "external": append(gitops, "-f", chart+"/values-external.yaml")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if first, second := mustTemplate(t, args...), mustTemplate(t, args...); !bytes.Equal(first, second) {
				t.Errorf("two renderings differ")
			}
		})
	}
	// The comparison is one that can fail.
	if first, second := mustTemplate(t), mustTemplate(t); bytes.Equal(first, second) {
		t.Error("two renderings of the defaults are the same: the passwords are not random")
	}
}

// With existing Secrets the chart holds no password.
func TestGitOpsHasNoPasswords(t *testing.T) {
	for _, o := range parse(t, mustTemplate(t, gitops...)) {
		if o.Kind != "Secret" {
			continue
		}
		for key := range as[corev1.Secret](t, o).Data {
			if strings.Contains(key, "password") || strings.Contains(key, "cookie") || strings.Contains(key, "client-key") || strings.Contains(key, "identity-key") {
				t.Errorf("%s has %s", o.id(), key)
			}
		}
	}
}

// Volumes outlive a release, so their passwords must, too; and clients keep their keys.
func TestSecretsOutliveTheRelease(t *testing.T) {
	for _, o := range parse(t, mustTemplate(t)) {
		if o.Kind != "Secret" {
			continue
		}
		for key := range as[corev1.Secret](t, o).Data {
			if (strings.HasSuffix(key, "-password") || key == "erlang-cookie" || strings.HasSuffix(key, "-key")) && o.Annotations["helm.sh/resource-policy"] != "keep" {
				t.Errorf("%s has %s and goes with the release", o.id(), key)
			}
		}
	}
}

func TestPasswordsAreGivenOrMade(t *testing.T) {
	objects := parse(t, mustTemplate(t, "--set", "database.passwords.writer=given"))
	secret := as[corev1.Secret](t, find(t, objects, "Secret/trailpost-database"))
	if got := string(secret.Data["writer-password"]); got != "given" {
		t.Errorf("the writer's password is %q", got)
	}
	if len(secret.Data["owner-password"]) != 32 || len(secret.Data["reader-password"]) != 32 {
		t.Error("no password was made")
	}
}

// No template but those of Secrets asks the cluster.
func TestOnlySecretsLookUp(t *testing.T) {
	files, err := filepath.Glob(chart + "/templates/*")
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob(chart + "/templates/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, deeper...) {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a folder
		}
		if strings.Contains(string(text), "lookup ") && !slices.Contains([]string{"_database.tpl", "keys-secret.yaml", "identity-secret.yaml"}, filepath.Base(file)) {
			t.Errorf("%s looks things up", file)
		}
	}
}
