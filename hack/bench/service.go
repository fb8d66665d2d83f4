package main

import (
	"bufio"
	"context"
	"errors"
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

// service is a running producer or consumer.
type service struct {
	cmd    *exec.Cmd
	addr   string // of HTTP: events, probes and metrics
	pprof  string // of profiles, "" if there are none
	log    string // file
	exited chan error
}

func (b *bench) producer(ctx context.Context, settings ...string) (*service, error) {
	return b.start(ctx, "producer", "PRODUCER", settings)
}

func (b *bench) consumer(ctx context.Context, settings ...string) (*service, error) {
	return b.start(ctx, "consumer", "CONSUMER", settings)
}

// withBoth has do use a producer and a consumer of an empty trail, and leaves it empty.
func (b *bench) withBoth(ctx context.Context, do func(p, c *service) error) (err error) {
	if err := b.clean(ctx); err != nil {
		return err
	}
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(), b.clean(ctx)) }()
	c, err := b.consumer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	return do(p, c)
}

// start runs a service and waits until it is ready.
func (b *bench) start(ctx context.Context, name, prefix string, settings []string) (*service, error) {
	binary, err := b.binary(name)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	settings = append(append(b.settings(), prefix+"_HOST=127.0.0.1", prefix+"_PORT="+port), settings...)
	return b.run(ctx, program{binary: binary, port: port, ready: "/readyz"}, settings)
}

// program answers HTTP at a port of this machine.
type program struct {
	binary string
	args   []string
	port   string
	ready  string // path that answers 200 when it is
}

// run starts a program and waits until it is ready.
func (b *bench) run(ctx context.Context, p program, settings []string) (*service, error) {
	name := filepath.Base(p.binary)
	log, err := os.CreateTemp(b.logs, name+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	s := &service{cmd: exec.Command(p.binary, p.args...), addr: "127.0.0.1:" + p.port, log: log.Name(), exited: make(chan error, 1)}
	s.cmd.Dir = b.logs // there is no .env
	s.cmd.Env = settings
	if b.profiles != "" && name != "bench" {
		free, err := freePort()
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
	err = until(ctx, name+" is ready", 5*time.Millisecond, func() (bool, error) {
		select {
		case err := <-s.exited:
			s.exited <- err
			return false, fmt.Errorf("%s has ended: %w", name, err)
		default:
		}
		r, err := http.Get("http://" + s.addr + p.ready)
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

// stop ends the service as Kubernetes does.
func (s *service) stop() error {
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

func (s *service) tail() string {
	text, _ := os.ReadFile(s.log)
	return string(text[max(0, len(text)-2000):])
}

// metric is the sum of a metric's series. It reads no more than it must: it is asked
// for while something is measured.
func (s *service) metric(name string) (sum float64, err error) {
	r, err := http.Get("http://" + s.addr + "/metrics")
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

// migrate runs a command of migrate's.
func (b *bench) migrate(ctx context.Context, command string) error {
	binary, err := b.binary("migrate")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, binary, command)
	cmd.Dir, cmd.Env = b.logs, b.settings()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("migrate %s: %w: %s", command, err, out)
	}
	return nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// profile is a CPU profile for go tool pprof.
type profile struct {
	text []byte
	err  error
}

// profile takes one while the caller goes on.
func (s *service) profile(d time.Duration) chan profile {
	taken := make(chan profile, 1)
	go func() {
		r, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.pprof, max(1, int(d.Seconds()))))
		if err != nil {
			taken <- profile{err: err}
			return
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		taken <- profile{text, err}
	}()
	return taken
}
