// Package service runs the programs that are measured, and asks them what they use.
package service

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Service is a running program.
type Service struct {
	Addr   string // of HTTP: events, probes and metrics
	cmd    *exec.Cmd
	pprof  string // of profiles, "" if there are none
	log    string // file
	exited chan error
}

// Name returns the program's.
func (s *Service) Name() string { return filepath.Base(s.cmd.Path) }

// PID returns the id of its process.
func (s *Service) PID() int { return s.cmd.Process.Pid }

// Profiled reports whether it serves profiles.
func (s *Service) Profiled() bool { return s.pprof != "" }

// Program answers HTTP at a port of this machine.
type Program struct {
	Binary   string
	Args     []string
	Port     string
	Ready    string // path that answers 200 when it is
	Logs     string // folder, and where it runs: there is no .env
	Profiled bool   // serves profiles
}

// Run starts a program with an environment and waits until it is ready.
func Run(ctx context.Context, p Program, settings []string) (*Service, error) {
	name := filepath.Base(p.Binary)
	log, err := os.CreateTemp(p.Logs, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	s := &Service{cmd: exec.Command(p.Binary, p.Args...), Addr: "127.0.0.1:" + p.Port, log: log.Name(), exited: make(chan error, 1)}
	s.cmd.Dir = p.Logs
	s.cmd.Env = settings
	if p.Profiled {
		free, err := FreePort()
		if err != nil {
			return nil, err
		}
		s.pprof = "127.0.0.1:" + free
		s.cmd.Env = append(s.cmd.Env, "PROFILES_ADDRESS="+s.pprof)
	}
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { s.exited <- s.cmd.Wait() }()
	err = Until(ctx, name+" is ready", 5*time.Millisecond, func() (bool, error) {
		select {
		case err := <-s.exited:
			s.exited <- err
			return false, fmt.Errorf("%s has ended: %w", name, err)
		default:
		}
		r, err := http.Get("http://" + s.Addr + p.Ready)
		if err != nil {
			return false, nil
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w; its log ends with\n%s", err, s.tail())
	}
	return s, nil
}

// Stop ends the service as Kubernetes does.
func (s *Service) Stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-s.exited:
		if err != nil {
			return fmt.Errorf("%s: %w; its log ends with\n%s", filepath.Base(s.cmd.Path), err, s.tail())
		}
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("%s does not end; its log ends with\n%s", filepath.Base(s.cmd.Path), s.tail())
	}
}

// Kill ends the program at once.
func (s *Service) Kill() error {
	err := s.cmd.Process.Kill()
	<-s.exited //nolint:errcheck // the error is the one from our own kill
	return err
}

func (s *Service) tail() string {
	text, _ := os.ReadFile(s.log)
	return string(text[max(0, len(text)-2000):])
}

// Metric returns the sum of a metric's series. It reads no more than it must: it is asked
// for while something is measured.
func (s *Service) Metric(name string) (sum float64, err error) {
	r, err := http.Get("http://" + s.Addr + "/metrics")
	if err != nil {
		return 0, err
	}
	defer r.Body.Close()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		rest, found := strings.CutPrefix(lines.Text(), name)
		if !found || rest == "" || rest[0] != ' ' && rest[0] != '{' {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, lines.Err()
}

// FreePort returns a port of this machine that nobody listens on.
func FreePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// Profile is a CPU profile for go tool pprof.
type Profile struct {
	Text []byte
	Err  error
}

// Profile takes one while the caller goes on.
func (s *Service) Profile(d time.Duration) chan Profile {
	taken := make(chan Profile, 1)
	go func() {
		r, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.pprof, max(1, int(d.Seconds()))))
		if err != nil {
			taken <- Profile{Err: err}
			return
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		taken <- Profile{text, err}
	}()
	return taken
}

// Until waits for a condition, for at most two minutes.
func Until(ctx context.Context, what string, every time.Duration, condition func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		done, err := condition()
		if err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		case <-time.After(every):
		}
	}
}
