package chart_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// checkVolume runs what runs before PostgreSQL, on a new volume and with a Secret of this password.
func checkVolume(t *testing.T, password, version string) (said string, err error) {
	t.Helper()
	secrets, data := t.TempDir(), t.TempDir()
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(secrets, "postgres-password"), password)
	if version != "" {
		write(filepath.Join(data, "PG_VERSION"), version)
	}
	cmd := exec.CommandContext(t.Context(), "bash", chart+"/charts/postgresql/files/check-volume.sh", secrets, t.TempDir())
	cmd.Env = append(os.Environ(), "PGDATA="+data)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// PostgreSQL is given the first line of its password alone, and the services read all of it.
func TestPostgreSQLsPasswordIsOneLine(t *testing.T) {
	for _, good := range []string{"x", "x\n", "x\r\n", "x\r\n\r\n", "\ufeffx\r\n", " it's \"odd\" \\n $x * "} {
		if said, err := checkVolume(t, good, ""); err != nil {
			t.Errorf("%q: %v, %s", good, err, said)
		}
	}
	for bad, want := range map[string]string{"a\nb": "has several lines", "a\r\nb\r\n": "has several lines", "": "is empty", "\r\n": "is empty", "\ufeff\n": "is empty"} {
		said, err := checkVolume(t, bad, "")
		if err == nil || !strings.Contains(said, "postgres-password of the Secret "+want) {
			t.Errorf("%q: %v, %q", bad, err, said)
		}
		if said, err := checkVolume(t, bad, "18"); err != nil { // it has a password, which may be another by now
			t.Errorf("%q, on a volume with data: %v, %s", bad, err, said)
		}
	}
	for _, c := range postgresServer(t).Template.Spec.InitContainers {
		if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
			return m.Name == "secrets" && m.MountPath == "/etc/postgresql-secrets"
		}) {
			t.Errorf("%s does not see the password", c.Name)
		}
	}
}

// Kubernetes hands a Secret's line breaks on in a variable; the server's password is without them.
func TestDumpsLogInWithThePasswordOfTheServer(t *testing.T) {
	bin := t.TempDir()
	for name, line := range map[string]string{"pg_isready": `printf '[%s]' "$PGPASSWORD"`, "psql": "exit 1"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+line+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, password := range []string{"x", "x\n", "x\r\n", "x\r\n\r\n"} {
		cmd := exec.CommandContext(t.Context(), "bash", chart+"/charts/postgresql/files/backup.sh")
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "PGPASSWORD="+password, "KEEP=1", "PGHOST=nowhere")
		if out, _ := cmd.CombinedOutput(); string(out) != "[x]" { // it ends at psql
			t.Errorf("%q: %q", password, out)
		}
	}
}
