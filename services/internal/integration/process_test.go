package integration

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed/logs"
)

// process is a producer or a consumer in a process of its own.
type process struct {
	service
	t      *testing.T
	cmd    *exec.Cmd
	stdout *bufio.Scanner
	log    *logs.Buffer
}

// spawn starts one.
func (s *stack) spawn(role string, environ ...string) *process {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &process{t: s.t, log: &logs.Buffer{}}
	p.cmd = exec.Command(self)
	p.cmd.Dir = s.t.TempDir()
	p.cmd.Env = append(append(os.Environ(), s.environ...), environ...)
	p.cmd.Env = append(p.cmd.Env, roleVariable+"="+role)
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("%s wrote:\n%s", role, last(p.log.String(), 4000))
		}
	})
	p.stdout = bufio.NewScanner(out)
	p.url = "http://" + p.line()
	return p
}

func last(s string, n int) string {
	if len(s) > n {
		return "… " + s[len(s)-n:]
	}
	return s
}

// line waits for a line of the process's.
func (p *process) line() string {
	p.t.Helper()
	if !p.stdout.Scan() {
		p.t.Fatalf("the process ended: %s", last(p.log.String(), 4000))
	}
	return p.stdout.Text()
}

func (p *process) ready() bool {
	code, _ := get(p.t, p.url+"/readyz")
	return code == 200
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends it as a crash does.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// terminate asks it to end, and returns how long that took.
func (p *process) terminate() time.Duration {
	p.t.Helper()
	start := time.Now()
	p.signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("SIGTERM: %v", err)
	}
	return time.Since(start)
}

// exit runs a process that should end by itself.
func (s *stack) exit(role string, environ ...string) (code int, output string) {
	s.t.Helper()
	return s.command(role, nil, environ...)
}

// command is exit with arguments.
func (s *stack) command(role string, args []string, environ ...string) (code int, output string) {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = s.t.TempDir()
	cmd.Env = append(append(os.Environ(), s.environ...), environ...)
	cmd.Env = append(cmd.Env, roleVariable+"="+role)
	timer := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}
