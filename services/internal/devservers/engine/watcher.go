package engine

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// Watcher is the shell that ends a server when its holder, this process, has died
// (see the package comment of devservers).
type Watcher struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser // nothing but this process has this end
}

// untilOrphaned comes before every watcher's script: what follows it runs when the
// pipe closed without a good-bye.
const untilOrphaned = `read -r word; [ "$word" = bye ] && exit 0
`

// Watch starts a watcher. The script runs in a POSIX shell, with args as $1 and
// on, when this process is gone. lock, if any, stays held for as long as the
// watcher lives, so that the next holder of a folder waits for the servers of the
// last one.
func Watch(lock *os.File, script string, args ...string) (*Watcher, error) {
	cmd := exec.Command("/bin/sh", append([]string{"-c", untilOrphaned + script, "trailpost-watch"}, args...)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if lock != nil {
		cmd.ExtraFiles = []*os.File{lock}
	}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("watcher: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("watcher: %w", err)
	}
	return &Watcher{cmd, pipe}, nil
}

// Dismiss ends the watcher: its server has ended.
func (w *Watcher) Dismiss() {
	_, _ = io.WriteString(w.pipe, "bye\n") // an error means that it has gone already
	_ = w.pipe.Close()
	_ = w.cmd.Wait()
}
