package process

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

	"github.com/trailpost/trailpost/services/internal/devservers/engine"
)

// Process runs a server as a child process: the leader of a session and a process
// group of its own, watched by a shell that ends it when we die.
type Process struct {
	Dir        string // its folder: data, configuration, logs; handed to Account
	Account    *Account
	Argv       []string
	Env        []string // the whole environment
	Logs       []string // files that it writes; the first one is its output
	StopSignal syscall.Signal
	Temporary  string // folder of a temporary pair, removed with Dir when we die; or ""
	Lock       *os.File

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has been waited for
}

// awaitLine holds a command back until the line that says that it is watched.
const awaitLine = `read -r _ && exec "$@" </dev/null`

// Start launches the server.
func (p *Process) Start(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := os.OpenFile(p.Logs[0], os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer out.Close() // the child has it
	if err := p.Account.Own(p.Logs[0]); err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", awaitLine, filepath.Base(p.Argv[0])}, p.Argv...)...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = p.Dir, p.Env, p.Account.attributes()
	cmd.Stdout, cmd.Stderr = out, out
	line, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	args := []string{signalName(p.StopSignal), strconv.Itoa(cmd.Process.Pid), "300"}
	if p.Temporary != "" {
		args = append(args, p.Dir, filepath.Dir(p.Dir), p.Temporary)
	}
	w, err := engine.Watch(p.Lock, endProcess, args...)
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
		w.Dismiss()
		close(ended)
	}()
	return err
}

// Done is closed when the server has ended; nil before the first Start.
func (p *Process) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}

// Stop sends the signal and waits, and kills the server when ctx is done.
func (p *Process) Stop(ctx context.Context) error {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	children := descendants(cmd.Process.Pid)
	if err := cmd.Process.Signal(p.StopSignal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-ended:
		// RabbitMQ's epmd was killed with the rest of the group, and the next one can't
		// have its port before it is gone.
		waitGone(children)
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("it did not stop in time and was killed: %w", context.Cause(ctx)), p.Kill())
	}
}

// Kill ends the server as a power cut would: its children, too, those that lead
// groups of their own (PostgreSQL's all do), with no moment to tidy up. It is
// stopped first, so that it has no more children than were counted.
func (p *Process) Kill() error {
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

// Command is a program in the folder, with the account and the environment of the server.
func (p *Process) Command(ctx context.Context, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = p.Dir, p.Env, p.Account.attributes()
	return cmd
}

// Release has nothing to do: a process that has ended leaves only its folder.
func (p *Process) Release(context.Context) error { return nil }

// Discard removes the folder.
func (p *Process) Discard(context.Context) error { return os.RemoveAll(p.Dir) }

func signalName(s syscall.Signal) string {
	if s == syscall.SIGINT {
		return "INT"
	}
	return "TERM"
}

// endProcess is a watcher's script for a process that leads its group.
// $1 signal, $2 process id, $3 tenths of a second to wait; for a temporary pair
// also $4 the server's folder, $5 that of both servers, $6 the pair's own.
// A process that its new parent has not reaped yet counts as ended. The watcher
// that ends last finds that no server's folder is left and removes the pair's.
const endProcess = `alive() { kill -0 "$1" 2>/dev/null && ! grep -qs '^State:[[:space:]]*Z' "/proc/$1/status"; }
kill -s "$1" "$2" 2>/dev/null
n=0
while alive "$2" && [ "$n" -lt "$3" ]; do sleep 0.1; n=$((n + 1)); done
kill -s KILL -- "-$2" 2>/dev/null
[ $# -eq 6 ] || exit 0
rm -rf -- "$4"
[ -e "$5/postgres" ] || [ -e "$5/rabbitmq" ] || rm -rf -- "$5" "$6"
`
