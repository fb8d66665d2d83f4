package docker

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

	"github.com/trailpost/trailpost/services/internal/devservers/engine"
)

// Container runs a server in docker. Its data are in a named volume, so they
// outlive the container, which is made again when its folder is opened again.
type Container struct {
	Name      string            // of the container and of its volume
	Args      []string          // arguments of docker create
	Env       []string          // for docker create: values that must not show in its arguments
	Files     map[string]string // copied into it before its first start: path → content
	Secrets   map[string]string // the same, for the server's user alone
	PairID    string            // the value of the label on the container and the volume
	Temporary bool
	Lock      *os.File

	mu    sync.Mutex
	made  bool
	ended chan struct{}
}

// Start starts the container, which is made before its first start.
func (c *Container) Start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.made {
		if err := c.make(ctx); err != nil {
			return err
		}
		c.made = true
	}
	script, args := `docker stop -t 60 "$1" >/dev/null 2>&1; docker rm -f "$1" >/dev/null 2>&1`, []string{c.Name}
	if c.Temporary {
		script, args = `docker rm -f -v "$1" >/dev/null 2>&1; docker volume rm -f "$2" >/dev/null 2>&1; rm -rf -- "$3"`,
			[]string{c.Name, c.Name, c.folder()}
	}
	w, err := engine.Watch(c.Lock, script, args...)
	if err != nil {
		return err
	}
	if _, err := engine.Run(Command(ctx, "start", c.Name), ""); err != nil {
		w.Dismiss()
		return fmt.Errorf("docker start: %w", err)
	}
	ended := make(chan struct{})
	c.ended = ended
	go func() { //nolint:gosec // it lasts as long as the container, not as the caller
		// the answer comes when it has ended; an error means that it is gone altogether
		_, _ = engine.Run(Command(context.Background(), "wait", c.Name), "")
		w.Dismiss()
		close(ended)
	}()
	return nil
}

// folder is the temporary folder of the pair, which its lock file is in.
func (c *Container) folder() string {
	return strings.TrimSuffix(c.Lock.Name(), "/lock")
}

func (c *Container) make(ctx context.Context) error {
	if _, err := engine.Run(Command(ctx, "rm", "-f", c.Name), ""); err != nil && !strings.Contains(err.Error(), "No such container") {
		return fmt.Errorf("docker rm: %w", err)
	}
	// made by name, and not in passing by docker create, so that it has a label to be found by
	if _, err := engine.Run(Command(ctx, "volume", "create", "--label", Label+"="+c.PairID, c.Name), ""); err != nil {
		return fmt.Errorf("docker volume create: %w", err)
	}
	cmd := Command(ctx, append([]string{"create", "--name", c.Name, "--label", Label + "=" + c.PairID}, c.Args...)...)
	cmd.Env = append(os.Environ(), c.Env...)
	if _, err := engine.Run(cmd, ""); err != nil {
		return fmt.Errorf("docker create: %w", err)
	}
	if err := c.copy(ctx, c.Files, 0, 0o644); err != nil { // it has one tenant
		return err
	}
	return c.CopySecrets(ctx, c.Secrets)
}

// imageUser is the user and the group as whom both images run their servers.
const imageUser = 999

// CopySecrets puts files into the container, for the server's user alone, whether it runs or not.
func (c *Container) CopySecrets(ctx context.Context, files map[string]string) error {
	return c.copy(ctx, files, imageUser, 0o600)
}

// copy puts files into the container, whether it runs or not.
func (c *Container) copy(ctx context.Context, files map[string]string, owner int, mode int64) error {
	if len(files) == 0 {
		return nil
	}
	archive, err := tarOf(files, owner, mode)
	if err != nil {
		return err
	}
	if _, err := engine.Run(Command(ctx, "cp", "-", c.Name+":/"), archive); err != nil {
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

// Done is closed when the container has ended; nil before the first Start.
func (c *Container) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// Stop has the server stop, and kills it when ctx is done.
func (c *Container) Stop(ctx context.Context) error {
	_, err := engine.Run(Command(ctx, "stop", "-t", strconv.Itoa(int(engine.StopTimeout.Seconds())), c.Name), "")
	if ctx.Err() != nil {
		return errors.Join(fmt.Errorf("it did not stop in time and was killed: %w", context.Cause(ctx)), c.Kill())
	}
	if err != nil {
		return err
	}
	<-c.Done()
	return nil
}

// Kill kills the server.
func (c *Container) Kill() error {
	_, err := engine.Run(Command(context.Background(), "kill", c.Name), "")
	if err != nil && !strings.Contains(err.Error(), "is not running") && !strings.Contains(err.Error(), "No such container") {
		return fmt.Errorf("docker kill: %w", err)
	}
	<-c.Done()
	return nil
}

// Release removes the container, which its folder's next holder makes again. The
// volume stays.
func (c *Container) Release(ctx context.Context) error {
	_, err := engine.Run(Command(ctx, "rm", "-f", c.Name), "")
	return err
}

// Discard removes the container and the volume.
func (c *Container) Discard(ctx context.Context) error {
	_, err := engine.Run(Command(ctx, "rm", "-f", "-v", c.Name), "")
	_, verr := engine.Run(Command(ctx, "volume", "rm", "-f", c.Name), "")
	return errors.Join(err, verr)
}

// Command is a program in the container.
func (c *Container) Command(ctx context.Context, argv ...string) *exec.Cmd {
	return Command(ctx, append([]string{"exec", "-i", c.Name}, argv...)...)
}

// ShellLine hands the PG* variables on to a tool in the container, where the server
// has the same address and port.
func (c *Container) ShellLine(argv ...string) string {
	var b strings.Builder
	b.WriteString("docker exec -i")
	for _, name := range []string{"PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE"} {
		b.WriteString(" -e " + name)
	}
	b.WriteString(" " + engine.Quote(c.Name))
	for _, a := range argv {
		b.WriteString(" " + engine.Quote(a))
	}
	return b.String() + ` "$@"`
}

// Mark is the present end of the log.
func (c *Container) Mark() engine.Mark { return engine.Mark{Time: time.Now()} }

// Since returns the last lines that were logged after the mark.
func (c *Container) Since(m engine.Mark, lines int) string {
	cmd := Command(context.Background(), "logs", "--since", m.Time.UTC().Format(time.RFC3339Nano), "--tail", strconv.Itoa(lines), c.Name)
	out, _ := cmd.CombinedOutput() // what docker has to say instead is as good
	return string(out)
}
