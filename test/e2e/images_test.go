//go:build e2e

package e2e

import (
	"context"
	"debug/elf"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// services are those with an image, and serverImages what they need.
var (
	services     = []string{"producer", "consumer"}
	serverImages = []string{"postgres:18", "rabbitmq:4.3-management"}
)

// buildImages builds both images from a source tree and loads them into the
// cluster, all with the tag, which is also the version that they say they are.
func buildImages(t *testing.T, dir, tag string) {
	t.Helper()
	for _, service := range services {
		buildImage(t, dir, service, tag)
	}
}

func buildImage(t *testing.T, dir, service, tag string) {
	t.Helper()
	image := "trailpost/" + service + ":" + tag
	_, _, err := commandIn(t.Context(), dir, "docker", "buildx", "build", "--load", "--progress=plain", "--file=Dockerfile."+service,
		"--tag="+image, "--build-arg=VERSION="+tag, "--build-arg=REVISION="+strings.Repeat("0", 40), ".")
	if err != nil {
		t.Fatal(err)
	}
	if err := machine.cluster.load(t.Context(), image); err != nil {
		t.Fatal(err)
	}
}

// currentTag is the tag of the images of this work tree.
const currentTag = "e2e"

// buildCurrent builds the images of this work tree, once for all tests.
func buildCurrent(t *testing.T) (tag string) {
	t.Helper()
	current.Lock()
	defer current.Unlock()
	if !current.built {
		buildImages(t, machine.root, currentTag)
		current.built = true
	}
	return currentTag
}

var current struct {
	sync.Mutex
	built bool
}

// maxImageBytes is what an image may weigh, unpacked.
const maxImageBytes = 25_000_000

// TestImages looks at what an operator sees of the images without running them,
// and that nothing but the programs runs in them.
func TestImages(t *testing.T) {
	tag := buildCurrent(t)
	for _, service := range services {
		t.Run(service, func(t *testing.T) {
			image := "trailpost/" + service + ":" + tag
			text, err := command(t.Context(), "docker", "image", "inspect", "--format", "{{json .}}", image)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Size   int64
				Config struct {
					User       string
					Entrypoint []string
					Labels     map[string]string
				}
			}
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %.1f MB", image, float64(got.Size)/1e6)
			if got.Size > maxImageBytes {
				t.Errorf("%d bytes, want at most %d", got.Size, maxImageBytes)
			}
			if got.Config.User != "65532:65532" {
				t.Errorf("user %q; a number can be seen not to be root", got.Config.User)
			}
			if len(got.Config.Entrypoint) != 1 || got.Config.Entrypoint[0] != "/"+service {
				t.Errorf("entry point %q", got.Config.Entrypoint)
			}
			const label = "org.opencontainers.image."
			for name, want := range map[string]string{"version": tag, "revision": strings.Repeat("0", 40), "licenses": "Apache-2.0"} {
				if got := got.Config.Labels[label+name]; got != want {
					t.Errorf("label %s: %q, want %q", name, got, want)
				}
			}
			for _, name := range []string{"title", "description", "source"} {
				if got.Config.Labels[label+name] == "" {
					t.Errorf("no label %s", name)
				}
			}

			if out, err := command(t.Context(), "docker", "run", "--rm", image, "--version"); err != nil || !strings.Contains(out, "version "+tag+" (commit "+strings.Repeat("0", 40)) {
				t.Errorf("--version: %q, %v", out, err)
			}
			for _, shell := range []string{"/bin/sh", "/bin/bash", "/busybox/sh"} {
				if out, err := command(t.Context(), "docker", "run", "--rm", "--entrypoint", shell, image, "-c", "exit 0"); err == nil {
					t.Errorf("%s runs: %s", shell, out)
				}
			}
		})
	}
	if out, err := command(t.Context(), "docker", "run", "--rm", "--entrypoint", "/migrate", "trailpost/consumer:"+tag, "--help"); err != nil || !strings.Contains(out, "MIGRATE_DATABASE_USER") {
		t.Errorf("migrate --help: %q, %v", out, err)
	}
}

// TestCrossCompilation: the Dockerfiles make an arm64 image without an arm64
// machine. Its base needs a registry; what is ours in it does not.
func TestCrossCompilation(t *testing.T) {
	t.Parallel()
	for arch, want := range map[string]elf.Machine{"arm64": elf.EM_AARCH64, "amd64": elf.EM_X86_64} {
		for _, service := range services {
			t.Run(arch+"/"+service, func(t *testing.T) {
				dir := t.TempDir()
				_, err := command(t.Context(), "docker", "buildx", "build", "--platform=linux/"+arch, "--file=Dockerfile."+service,
					"--target=binaries", "--output=type=local,dest="+dir, ".")
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
					if err != nil || entry.IsDir() {
						return err
					}
					names = append(names, entry.Name())
					checkBinary(t, path, want)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if want := map[string]string{"producer": "producer", "consumer": "consumer migrate"}[service]; strings.Join(names, " ") != want {
					t.Errorf("binaries %q, want %q", names, want)
				}
			})
		}
	}
}

// checkBinary wants a static program for the machine.
func checkBinary(t *testing.T, path string, want elf.Machine) {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = file.Close() }()
	if file.Machine != want {
		t.Errorf("%s is for %v, want %v", filepath.Base(path), file.Machine, want)
	}
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			t.Errorf("%s is linked dynamically", filepath.Base(path))
		}
	}
}

// copySource copies what images and the chart are made of into a new folder, as it
// is in the work tree.
func copySource(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	copyTracked(t.Context(), t, dir, "Dockerfile.producer", "Dockerfile.consumer", ".dockerignore", "go.mod", "go.sum", "services", "migrations", "charts", "skaffold.yaml")
	return dir
}

func copyTracked(ctx context.Context, t *testing.T, dir string, paths ...string) {
	t.Helper()
	list, err := command(ctx, "git", append([]string{"ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"}, paths...)...)
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(machine.root, name))
		if os.IsNotExist(err) { // deleted, and not yet committed so
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// extractCommit puts a commit's tree into a new folder.
func extractCommit(t *testing.T, commit string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	archive := filepath.Join(t.TempDir(), "tree.tar")
	if _, err := command(t.Context(), "git", "archive", "--output="+archive, commit); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "tar", "-x", "-C", dir, "-f", archive).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return dir
}
