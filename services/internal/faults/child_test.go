package faults

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
)

// child is a producer or a consumer, a process of its own that can be started
// again. Its methods are used by one goroutine.
type child struct {
	role    string
	binary  string
	dir     string
	environ []string
	mutant  string // name of what it is instead of the product
	log     tail

	cmd   *exec.Cmd // nil: not running
	stdin io.Closer
	addr  string
}

func (c *child) start() error {
	cmd := exec.Command(c.binary)
	cmd.Dir = c.dir
	cmd.Env = append(append(os.Environ(), c.environ...), roleVariable+"="+c.role, mutantVariable+"="+c.mutant)
	cmd.Stderr = &c.log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		return fmt.Errorf("the %s ended: %s", c.role, c.log.end())
	}
	c.cmd, c.stdin, c.addr = cmd, stdin, strings.TrimSpace(line)
	return nil
}

func (c *child) signal(s syscall.Signal) error { return c.cmd.Process.Signal(s) }

// kill ends it as a crash does.
func (c *child) kill() error {
	if c.cmd == nil {
		return nil
	}
	err := c.signal(syscall.SIGKILL)
	_ = c.cmd.Wait() // it tells of the signal
	_ = c.stdin.Close()
	c.cmd = nil
	return err
}

// terminate asks it to end, and waits.
func (c *child) terminate() error {
	if err := c.signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := c.cmd.Wait()
	_ = c.stdin.Close()
	c.cmd = nil
	if err != nil {
		return fmt.Errorf("the %s after SIGTERM: %w: %s", c.role, err, c.log.end())
	}
	return nil
}

// tail keeps the end of a log.
type tail struct {
	mu      sync.Mutex
	text    []byte
	dropped int // bytes before text
}

const tailSize = 1 << 20

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailSize; extra > tailSize/2 {
		t.text = append([]byte(nil), t.text[extra:]...)
		t.dropped += extra
	}
	return len(p), nil
}

// mark is a place in the log.
func (t *tail) mark() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped + len(t.text)
}

// since is what was logged after a mark, as far as it is kept.
func (t *tail) since(mark int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text[max(0, mark-t.dropped):])
}

func (t *tail) end() string {
	s := t.since(0)
	return s[max(0, len(s)-3000):]
}
