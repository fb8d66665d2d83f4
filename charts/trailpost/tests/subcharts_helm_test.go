package chart_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"testing"
)

// subchart renders a subchart by itself, as a release of its own.
func subchart(t *testing.T, name string, args ...string) (manifests []byte, refusal string) {
	t.Helper()
	path, err := helm()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{
		"template", release, chart + "/charts/" + name, "--namespace", "audit", "--kube-version", kubeVersion,
	}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = append(os.Environ(), "KUBECONFIG=/dev/null")
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
		return nil, stderr.String()
	}
	return stdout.Bytes(), ""
}

// mustSubchart is a subchart that must not be refused.
func mustSubchart(t *testing.T, name string, args ...string) []object {
	t.Helper()
	manifests, refusal := subchart(t, name, args...)
	if refusal != "" {
		t.Fatalf("helm template charts/%s %v: %s", name, args, refusal)
	}
	return parse(t, manifests)
}
