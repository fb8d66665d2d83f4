package devservers

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// watcher is the shell that ends a server when its holder, this process, has died
// (see the package comment).
type watcher struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser // nothing but this process has this end
}

// untilOrphaned comes before every watcher's script: what follows it runs when the
// pipe closed without a good-bye.
const untilOrphaned = `read -r word; [ "$word" = bye ] && exit 0
`

// watch starts a watcher. The script runs in a POSIX shell, with args as $1 and
// on, when this process is gone. lock, if any, stays held for as long as the
// watcher lives, so that the next holder of a folder waits for the servers of the
// last one.
func watch(lock *os.File, script string, args ...string) (*watcher, error) {
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
	return &watcher{cmd, pipe}, nil
}

// dismiss sends the watcher home: its server has ended.
func (w *watcher) dismiss() {
	_, _ = io.WriteString(w.pipe, "bye\n") // an error means that it has gone already
	_ = w.pipe.Close()
	_ = w.cmd.Wait()
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
