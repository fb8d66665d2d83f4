package chart_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	chart   = ".."
	release = "trailpost"
	// kubeVersion is said always: a helm built by `go install` would take the cluster for 1.20.
	kubeVersion = "1.37.0"
)

// helm is the path of the binary.
var helm = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("HELM"); path != "" {
		return path, nil
	}
	if path, err := exec.LookPath("helm"); err == nil {
		return path, nil
	}
	// -n: build it and print where it is.
	build := exec.Command("go", "tool", "-modfile=../../../hack/tools/helm/go.mod", "-n", "helm")
	build.Env = append(build.Environ(), "GOWORK=off") // which -modfile excludes
	out, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("build helm: %w%s", err, stderr(err))
	}
	return strings.TrimSpace(string(out)), nil
})

func stderr(err error) string {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return ": " + string(exit.Stderr)
	}
	return ""
}

// template runs `helm template` and returns its output, or what it said when it refused.
func template(t *testing.T, args ...string) (manifests []byte, refusal string) {
	t.Helper()
	return runHelm(t, append([]string{"template", release, chart, "--namespace", "audit", "--kube-version", kubeVersion}, args...)...)
}

// readChart reads the chart and throws it away: `go test` then knows that these tests
// depend on files that helm alone opens, and believes no older result.
var readChart = sync.OnceValue(func() error {
	return filepath.WalkDir(chart, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		_, err = os.ReadFile(path)
		return err
	})
})

// runHelm returns what helm printed, or what it said when it failed.
func runHelm(t *testing.T, args ...string) (output []byte, refusal string) {
	t.Helper()
	if err := readChart(); err != nil {
		t.Fatal(err)
	}
	path, err := helm()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// Whatever cluster the user has, it is not asked.
	cmd.Env = append(os.Environ(), "KUBECONFIG=/dev/null",
		"GOGC=off") // it ends in a moment; there are hundreds of them
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
		return nil, stderr.String()
	}
	return stdout.Bytes(), ""
}

// mustTemplate is a template that must not be refused.
func mustTemplate(t *testing.T, args ...string) []byte {
	t.Helper()
	manifests, refusal := template(t, args...)
	if refusal != "" {
		t.Fatalf("helm template %s: %s", strings.Join(args, " "), refusal)
	}
	return manifests
}

// valueSets are the ways to install that everything here should hold for.
func valueSets() map[string][]string {
	return map[string][]string{
		"defaults": nil,
		"ha":       {"-f", chart + "/values-ha.yaml"},
		"external": {"-f", chart + "/values-external.yaml"},
		"gitops":   {"-f", chart + "/values-gitops.yaml"},
		// the production path beside operators
		"operators": {"-f", chart + "/../../k8s/values-operators.yaml"},
		"tls":       {"-f", chart + "/values-tls.yaml"},
		"all":       {"-f", "testdata/everything-on.yaml"},
	}
}

// inEachSet runs a test on each set's objects.
func inEachSet(t *testing.T, test func(t *testing.T, objects []object)) {
	for name, args := range valueSets() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, parse(t, mustTemplate(t, args...)))
		})
	}
}
