//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/klog/v2"
)

// machine is what all tests share.
var machine struct {
	root     string // of the repository
	cluster  *cluster
	previous string // commit that the upgrade starts from
	keep     bool
	helm     helm
	helm4    helm
	skaffold string
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	defer func(start time.Time) { fmt.Printf("e2e: %s in all\n", time.Since(start).Round(time.Second)) }(time.Now())
	// client-go logs each end of a forwarded connection as an error.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	end, err := prepare()
	if end != nil {
		defer end()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return m.Run()
}

// prepare reads the environment and finds or makes the cluster. end undoes what it
// made, also after an error.
func prepare() (end func(), err error) {
	machine.root, err = filepath.Abs("../..")
	if err != nil {
		return nil, err
	}
	setting := func(name, otherwise string) string {
		if value := os.Getenv(name); value != "" {
			return value
		}
		return otherwise
	}
	if machine.previous = os.Getenv("TRAILPOST_E2E_PREVIOUS"); machine.previous == "" {
		if machine.previous, err = lastRelease(); err != nil {
			return nil, err
		}
	}
	machine.keep = os.Getenv("TRAILPOST_E2E_KEEP") != ""
	machine.helm = helm(setting("HELM", "helm"))
	machine.helm4 = helm(setting("HELM4", string(machine.helm)))
	machine.skaffold = setting("SKAFFOLD", "skaffold")

	var missing []error
	for _, binary := range []string{"docker", "kubectl", string(machine.helm), string(machine.helm4), machine.skaffold} {
		if _, err := exec.LookPath(binary); err != nil {
			missing = append(missing, err)
		}
	}
	if err := errors.Join(missing...); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	machine.cluster, end, err = openCluster(ctx, setting("TRAILPOST_E2E_CLUSTER", "trailpost-e2e"), os.Getenv("TRAILPOST_E2E_NODE_IMAGE"))
	return end, err
}

// lastRelease is the commit of the last release, which the file last-release names. Nothing stands
// in for it: an upgrade from anything else would prove nothing.
func lastRelease() (commit string, err error) {
	text, err := os.ReadFile("last-release")
	if err != nil {
		return "", err
	}
	commit = strings.TrimSpace(string(text))
	if err := exec.Command("git", "rev-parse", "--verify", "--quiet", commit+"^{commit}").Run(); err != nil {
		return "", fmt.Errorf("last-release names %q, which is no commit of this clone (a shallow one?): %w", commit, err)
	}
	return commit, nil
}

// command runs a program in the repository's root, with our cluster's kubeconfig,
// and returns what it prints to standard output.
func command(ctx context.Context, name string, args ...string) (stdout string, err error) {
	stdout, _, err = commandIn(ctx, machine.root, name, args...)
	return stdout, err
}

// commandIn is command in another folder. The error tells what the program said.
func commandIn(ctx context.Context, dir, name string, args ...string) (stdout, stderr string, err error) {
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = os.Environ()
	if machine.cluster != nil {
		cmd.Env = append(cmd.Env, "KUBECONFIG="+machine.cluster.kubeconfig)
	}
	// Children that hold the pipes open don't hold up the test.
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), errs.String(), fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out.String(), errs.String())
	}
	return out.String(), errs.String(), nil
}
