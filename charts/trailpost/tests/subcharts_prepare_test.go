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
	"strings"
	"testing"
)

// prepare runs what runs before a RabbitMQ node, with a Secret of these files.
func prepare(t *testing.T, template string, secret map[string]string) (data, run string, err error) {
	t.Helper()
	secrets, config := t.TempDir(), t.TempDir()
	data, run = t.TempDir(), t.TempDir()
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	for key, value := range secret {
		write(filepath.Join(secrets, key), value)
	}
	write(filepath.Join(config, "definitions.json"), template)
	cmd := exec.CommandContext(t.Context(), "bash", chart+"/charts/rabbitmq/files/prepare.sh", secrets, config, data, run)
	cmd.Env = append(os.Environ(), "POD_NAME=r-0", "RABBITMQ_NODENAME=rabbit@r-0.r-headless.ns.svc.cluster.local", "REPLICAS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("prepare.sh: %s", out)
	}
	return data, run, err
}

func TestPasswordsAreHashedAsRabbitMQDoes(t *testing.T) {
	secret := map[string]string{
		"erlang-cookie":     "COOKIE",
		"admin-password":    "plain",
		"producer-password": "it's \"odd\" & $1 \\n %s @consumer-password@ ü",
		"consumer-password": "\ufeffmade on Windows\r\n\r\n",
	}
	template := rabbitFiles(t)["definitions.json"]
	// Often, since a salt or a hash may have any byte.
	for range 40 {
		data, run, err := prepare(t, template, secret)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(run, "definitions.json"))
		if err != nil {
			t.Fatal(err)
		}
		var d definitions
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		for _, u := range d.Users {
			salted, err := base64.StdEncoding.DecodeString(u.PasswordHash)
			if err != nil || len(salted) != 4+sha256.Size {
				t.Fatalf("%s: the hash %q has %d bytes (%v)", u.Name, u.PasswordHash, len(salted), err)
			}
			password := strings.TrimRight(strings.TrimPrefix(secret[u.Name+"-password"], "\ufeff"), "\r\n")
			if want := sha256.Sum256(append(bytes.Clone(salted[:4]), password...)); !bytes.Equal(salted[4:], want[:]) {
				t.Errorf("%s: the hash is another password's", u.Name)
			}
		}
		cookie := filepath.Join(data, ".erlang.cookie")
		if text, err := os.ReadFile(cookie); err != nil || string(text) != "COOKIE" {
			t.Fatalf("the cookie is %q (%v)", text, err)
		}
		for _, file := range []string{cookie, filepath.Join(run, "definitions.json")} {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("%s: %v, %v: others can read it", file, info.Mode(), err)
			}
		}
	}
}

// A user without a password could not come in, and nobody would know why.
func TestEmptySecretsAreRefused(t *testing.T) {
	whole := map[string]string{"erlang-cookie": "c", "admin-password": "a", "producer-password": "p", "consumer-password": "c"}
	template := rabbitFiles(t)["definitions.json"]
	for key := range whole {
		for _, value := range []string{"", "\n", "\r\n", "\ufeff\n"} {
			secret := maps.Clone(whole)
			secret[key] = value
			if _, _, err := prepare(t, template, secret); err == nil {
				t.Errorf("a %s of %q is taken", key, value)
			}
		}
	}
}
