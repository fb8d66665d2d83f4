package pipeline

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

// Process is a producer or a consumer in a process of its own.
type Process struct {
	Service
	t      *testing.T
	cmd    *exec.Cmd
	stdout *bufio.Scanner
	Log    *logs.Buffer
}

// Spawn starts a service as a process.
func (s *Pipeline) Spawn(role string, environ ...string) *Process {
	s.T.Helper()
	self, err := os.Executable()
	if err != nil {
		s.T.Fatal(err)
	}
	p := &Process{t: s.T, Log: &logs.Buffer{}}
	p.cmd = exec.Command(self)
	p.cmd.Dir = s.T.TempDir()
	p.cmd.Env = append(append(os.Environ(), s.Environ...), environ...)
	p.cmd.Env = append(p.cmd.Env, roleVariable+"="+role)
	p.cmd.Stderr = p.Log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		s.T.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if s.T.Failed() {
			s.T.Logf("%s wrote:\n%s", role, last(p.Log.String(), 4000))
		}
	})
	p.stdout = bufio.NewScanner(out)
	p.URL = "http://" + p.Line()
	return p
}

func last(s string, n int) string {
	if len(s) > n {
		return "… " + s[len(s)-n:]
	}
	return s
}

// Line waits for a line that the process prints.
func (p *Process) Line() string {
	p.t.Helper()
	if !p.stdout.Scan() {
		p.t.Fatalf("the process ended: %s", last(p.Log.String(), 4000))
	}
	return p.stdout.Text()
}

// Ready reports whether the service says that it is.
func (p *Process) Ready() bool {
	code, _ := Get(p.t, p.URL+"/readyz")
	return code == 200
}

// Signal sends the process a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// Kill ends it as a crash does.
func (p *Process) Kill() {
	p.t.Helper()
	p.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// Terminate asks it to end, and returns how long that took.
func (p *Process) Terminate() time.Duration {
	p.t.Helper()
	start := time.Now()
	p.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("SIGTERM: %v", err)
	}
	return time.Since(start)
}

// Exit runs a process that should end by itself.
func (s *Pipeline) Exit(role string, environ ...string) (code int, output string) {
	s.T.Helper()
	return s.Command(role, nil, environ...)
}

// Command is Exit with arguments.
func (s *Pipeline) Command(role string, args []string, environ ...string) (code int, output string) {
	s.T.Helper()
	self, err := os.Executable()
	if err != nil {
		s.T.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Dir = s.T.TempDir()
	cmd.Env = append(append(os.Environ(), s.Environ...), environ...)
	cmd.Env = append(cmd.Env, roleVariable+"="+role)
	timer := time.AfterFunc(Patience, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.T.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}
