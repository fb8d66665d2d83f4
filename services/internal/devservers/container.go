package devservers

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// container runs a server in docker. Its data are in a named volume, so they
// outlive the container, which is made anew when its folder is opened again.
type container struct {
	name      string
	create    []string          // arguments of docker create
	env       []string          // for docker create: values that must not show in its arguments
	files     map[string]string // copied into it before its first start: path → content
	secrets   map[string]string // the same, for the server's user alone
	volume    string
	label     string // name=value, on the container and the volume
	temporary bool
	lock      *os.File

	mu    sync.Mutex
	made  bool
	ended chan struct{}
}

func docker(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "docker", args...)
}

func (c *container) start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.made {
		if err := c.make(ctx); err != nil {
			return err
		}
		c.made = true
	}
	script, args := `docker stop -t 60 "$1" >/dev/null 2>&1; docker rm -f "$1" >/dev/null 2>&1`, []string{c.name}
	if c.temporary {
		script, args = `docker rm -f -v "$1" >/dev/null 2>&1; docker volume rm -f "$2" >/dev/null 2>&1; rm -rf -- "$3"`,
			[]string{c.name, c.volume, c.folder()}
	}
	w, err := watch(c.lock, script, args...)
	if err != nil {
		return err
	}
	if _, err := run(docker(ctx, "start", c.name), ""); err != nil {
		w.dismiss()
		return fmt.Errorf("docker start: %w", err)
	}
	ended := make(chan struct{})
	c.ended = ended
	go func() { //nolint:gosec // it lasts as long as the container, not as the caller
		// the answer comes when it has ended; an error means that it is gone altogether
		_, _ = run(docker(context.Background(), "wait", c.name), "")
		w.dismiss()
		close(ended)
	}()
	return nil
}

// folder is the temporary folder of the pair, which its lock file is in.
func (c *container) folder() string {
	return strings.TrimSuffix(c.lock.Name(), "/lock")
}

func (c *container) make(ctx context.Context) error {
	if _, err := run(docker(ctx, "rm", "-f", c.name), ""); err != nil && !strings.Contains(err.Error(), "No such container") {
		return fmt.Errorf("docker rm: %w", err)
	}
	// made by name, and not in passing by docker create, so that it has a label to be found by
	if _, err := run(docker(ctx, "volume", "create", "--label", c.label, c.volume), ""); err != nil {
		return fmt.Errorf("docker volume create: %w", err)
	}
	cmd := docker(ctx, append([]string{"create", "--name", c.name, "--label", c.label}, c.create...)...)
	cmd.Env = append(os.Environ(), c.env...)
	if _, err := run(cmd, ""); err != nil {
		return fmt.Errorf("docker create: %w", err)
	}
	if err := c.copy(ctx, c.files, 0, 0o644); err != nil { // it has one tenant
		return err
	}
	return c.copy(ctx, c.secrets, imageUser, 0o600)
}

// imageUser is the user and the group as whom both images run their servers.
const imageUser = 999

// copy puts files into the container, whether it runs or not.
func (c *container) copy(ctx context.Context, files map[string]string, owner int, mode int64) error {
	if len(files) == 0 {
		return nil
	}
	archive, err := tarOf(files, owner, mode)
	if err != nil {
		return err
	}
	if _, err := run(docker(ctx, "cp", "-", c.name+":/"), archive); err != nil {
		return fmt.Errorf("docker cp: %w", err)
	}
	return nil
}

// tarOf packs files.
func tarOf(files map[string]string, owner int, mode int64) (string, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		h := &tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: mode, Uid: owner, Gid: owner, Size: int64(len(content)), ModTime: time.Now()}
		if err := w.WriteHeader(h); err != nil {
			return "", err
		}
		if _, err := w.Write([]byte(content)); err != nil {
			return "", err
		}
	}
	return b.String(), w.Close()
}

func (c *container) done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

func (c *container) stop(ctx context.Context) error {
	_, err := run(docker(ctx, "stop", "-t", strconv.Itoa(int(stopTimeout.Seconds())), c.name), "")
	if ctx.Err() != nil {
		return errors.Join(fmt.Errorf("it did not stop in time and was killed: %w", context.Cause(ctx)), c.kill())
	}
	if err != nil {
		return err
	}
	<-c.done()
	return nil
}

func (c *container) kill() error {
	_, err := run(docker(context.Background(), "kill", c.name), "")
	if err != nil && !strings.Contains(err.Error(), "is not running") && !strings.Contains(err.Error(), "No such container") {
		return fmt.Errorf("docker kill: %w", err)
	}
	<-c.done()
	return nil
}

// release removes the container, which its folder's next holder makes anew. The
// volume stays.
func (c *container) release(ctx context.Context) error {
	_, err := run(docker(ctx, "rm", "-f", c.name), "")
	return err
}

func (c *container) discard(ctx context.Context) error {
	_, err := run(docker(ctx, "rm", "-f", "-v", c.name), "")
	_, verr := run(docker(ctx, "volume", "rm", "-f", c.volume), "")
	return errors.Join(err, verr)
}

func (c *container) command(ctx context.Context, argv ...string) *exec.Cmd {
	return docker(ctx, append([]string{"exec", "-i", c.name}, argv...)...)
}

// wrapper hands the PG* variables on to a tool in the container, where the server
// has the same address and port.
func (c *container) wrapper(argv ...string) string {
	var b strings.Builder
	b.WriteString("docker exec -i")
	for _, name := range []string{"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"} {
		b.WriteString(" -e " + name)
	}
	b.WriteString(" " + quote(c.name))
	for _, a := range argv {
		b.WriteString(" " + quote(a))
	}
	return b.String() + ` "$@"`
}

func (c *container) mark() Mark { return Mark{at: time.Now()} }

func (c *container) since(m Mark, lines int) string {
	cmd := docker(context.Background(), "logs", "--since", m.at.UTC().Format(time.RFC3339Nano), "--tail", strconv.Itoa(lines), c.name)
	out, _ := cmd.CombinedOutput() // what docker has to say instead is as good
	return string(out)
}

// put is the container's [put].
func (c *container) put(ctx context.Context, files map[string][]byte) error {
	return c.copy(ctx, inContainer(files), imageUser, 0o600)
}
