package devservers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// process runs a server as a child process: the leader of a session and a process
// group of its own, watched by a shell that ends it when we die.
type process struct {
	dir        string // its folder: data, configuration, logs; handed to account
	account    *account
	argv       []string
	env        []string // the whole environment
	logs       []string // files that it writes; the first one is its output
	stopSignal syscall.Signal
	temporary  string // folder of a temporary pair, removed with dir when we die; or ""
	lock       *os.File

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has been waited for
}

// awaitLine holds a command back until the line that says that it is watched.
const awaitLine = `read -r _ && exec "$@" </dev/null`

func (p *process) start(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := os.OpenFile(p.logs[0], os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer out.Close() // the child has it
	if err := p.account.own(p.logs[0]); err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", awaitLine, filepath.Base(p.argv[0])}, p.argv...)...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = p.dir, p.env, p.account.attributes()
	cmd.Stdout, cmd.Stderr = out, out
	line, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	args := []string{signalName(p.stopSignal), strconv.Itoa(cmd.Process.Pid), "300"}
	if p.temporary != "" {
		args = append(args, p.dir, filepath.Dir(p.dir), p.temporary)
	}
	w, err := watch(p.lock, endProcess, args...)
	if err != nil {
		return errors.Join(err, line.Close(), cmd.Wait()) // without its line it ends by itself
	}
	_, err = io.WriteString(line, "go\n")
	err = errors.Join(err, line.Close())
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		_ = cmd.Wait()                                      // whoever stopped it knows; a start that fails shows the log
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left behind in its group: RabbitMQ its epmd
		w.dismiss()
		close(ended)
	}()
	return err
}

func (p *process) done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

func (p *process) stop(ctx context.Context) error {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	children := descendants(cmd.Process.Pid)
	if err := cmd.Process.Signal(p.stopSignal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-ended:
		// RabbitMQ's epmd was killed with the rest of the group, and the next one can't
		// have its port before it is gone.
		waitGone(children)
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("it did not stop in time and was killed: %w", context.Cause(ctx)), p.kill())
	}
}

// kill ends the server as a power cut would: its children, too, those that lead
// groups of their own (PostgreSQL's all do), with no moment to tidy up. It is
// stopped first, so that it has no more children than were counted.
func (p *process) kill() error {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	select {
	case <-ended:
		return nil
	default:
	}
	pid := cmd.Process.Pid
	_ = cmd.Process.Signal(syscall.SIGSTOP)
	children := descendants(pid)
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill: %w", err)
	}
	for _, child := range children {
		_ = syscall.Kill(child, syscall.SIGKILL) // it may have gone by itself
	}
	<-ended
	waitGone(children)
	return nil
}

func (p *process) command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = p.dir, p.env, p.account.attributes()
	return cmd
}

// release has nothing to do: a process that has ended leaves only its folder.
func (p *process) release(context.Context) error { return nil }

func (p *process) discard(context.Context) error { return os.RemoveAll(p.dir) }

func signalName(s syscall.Signal) string {
	if s == syscall.SIGINT {
		return "INT"
	}
	return "TERM"
}
