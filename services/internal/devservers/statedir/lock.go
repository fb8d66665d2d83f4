package statedir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/trailpost/trailpost/services/internal/devservers/process"
)

// ErrInUse means that another process holds a folder.
var ErrInUse = errors.New("another process uses this folder")

// Lock takes the lock file for as long as the returned file is open here or in a
// watcher. If the holder has died and its watchers are still stopping its servers,
// it waits for them, at most until ctx is done.
func Lock(ctx context.Context, name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
		}
		b, _ := os.ReadFile(name)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && process.Alive(pid) {
			return nil, errors.Join(fmt.Errorf("%w (process %d holds %s)", ErrInUse, pid, name), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("%w: the servers of a process that died still stop (%s)", ErrInUse, name), f.Close())
		case <-time.After(100 * time.Millisecond):
		}
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
