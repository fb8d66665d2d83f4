package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/test/golden"
)

// runVariable makes this test binary the command itself.
const runVariable = "TRAILPOST_TEST_LOCAL"

func TestMain(m *testing.M) {
	if os.Getenv(runVariable) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// The whole story of a user: start, paste what the banner says, crash, start again,
// Ctrl-C.
func TestLocal(t *testing.T) {
	home, err := os.MkdirTemp("", "trailpost-local-") // t.TempDir() is closed to the servers' users
	if err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // as another, an error says that RabbitMQ does not start in such a folder
		t.Cleanup(func() { _ = os.Remove(filepath.Dir(home)) })
		home = filepath.Join(home, "o'brien")
	}
	t.Cleanup(func() { removeHome(t, home) })

	first := start(t, home)
	banner := first.awaitBanner(t)
	if _, folder, elsewhere := strings.Cut(first.log(), ": their data are in "); elsewhere {
		folder, _, _ = strings.Cut(folder, "\n")
		if !strings.Contains(banner, "its data stay in "+folder+", and") {
			t.Errorf("the data are in %s, and the banner says:\n%s", folder, banner)
		}
	}
	out := shell(t, bannerLine(t, banner, "curl "))
	if !strings.Contains(out, "202 Accepted") {
		t.Fatalf("the banner's curl:\n%s", out)
	}
	read := bannerLine(t, banner, ". ") + "\n"
	waitFor(t, "the event is a row", func() bool {
		return strings.Contains(shell(t, read+bannerLine(t, banner, "psql ")), "review_started")
	})
	if out := shell(t, read+bannerLine(t, banner, "rabbitmqctl ")); !strings.Contains(out, "log_queue\t0") {
		t.Errorf("the banner's rabbitmqctl:\n%s", out)
	}
	if out := shell(t, read+`psql "$OWNER_DATABASE_URL" -Atc 'SELECT current_user'
		psql "$WRITER_DATABASE_URL" -Atc 'SELECT current_user'
		psql "$DATABASE_URL" -Atc 'SELECT current_user'
		curl -sS "$CONSUMER_URL/readyz"`); !strings.HasPrefix(out, "trailpost_owner\nlogging_service_user\ntrail_reader\n") || !strings.Contains(out, "ready") {
		t.Errorf("the env file's URLs:\n%s", out)
	}
	for _, what := range passwords(t, read) {
		if strings.Contains(first.log(), what) {
			t.Errorf("a password is in the log:\n%s", first.log())
		}
	}

	key := shell(t, read+`cat "$IDENTITY_KEY_FILE"; stat -c %a "$IDENTITY_KEY_FILE"`)
	if len(key) != 64+1+len("600\n") || !strings.HasSuffix(key, "\n600\n") || !strings.Contains(first.log(), "derived under the identity key") {
		t.Errorf("the identity key's file holds %d bytes, with its mode: %q\n%s", len(key), key[min(len(key), 64):], first.log())
	}

	second := start(t, home)
	if err := second.wait(t); err == nil || !strings.Contains(second.log(), "another process uses this folder") {
		t.Errorf("a second one in the same home: %v\n%s", err, second.log())
	}

	first.signal(t, syscall.SIGKILL)
	_ = first.wait(t)
	third := start(t, home)
	third.awaitBanner(t)
	if again := shell(t, read+`cat "$IDENTITY_KEY_FILE"; stat -c %a "$IDENTITY_KEY_FILE"`); again != key {
		t.Error("another start has another identity key")
	}
	if out := shell(t, read+`psql -Atc 'SELECT count(*) FROM log_events'`); out != "1\n" {
		t.Errorf("rows after a crash: %s", out)
	}
	third.signal(t, os.Interrupt)
	if err := third.wait(t); err != nil {
		t.Errorf("the end by Ctrl-C: %v\n%s", err, third.log())
	}
	if _, err := os.Stat(filepath.Join(home, "env")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the env file of a stopped one: %v", err)
	}
}

// An interrupt in the middle of a start is an end like any other.
func TestInterruptedStart(t *testing.T) {
	home, err := os.MkdirTemp("", "trailpost-local-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeHome(t, home) })
	p := start(t, home)
	waitFor(t, "it starts its servers", func() bool { return strings.Contains(p.log(), "starting PostgreSQL") })
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(t); err != nil {
		t.Errorf("interrupted while it started: %v\n%s", err, p.log())
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"--servers=none"}, {"--no-such"}, {"argument"}} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = append(os.Environ(), runVariable+"=1")
		out, err := cmd.CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 || !strings.Contains(string(out), "usage:") {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}

func TestWrongSettingsStartNothing(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), runVariable+"=1", "TRAILPOST_HOME="+home, "LOG_LEVEL=LOUD", "CONSUMER_WORKERS=0", "RABBITMQ_PORT=not-ours")
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range []string{"LOG_LEVEL", "CONSUMER_WORKERS"} {
		if !strings.Contains(string(out), name) {
			t.Errorf("%s is not named:\n%s", name, out)
		}
	}
	if strings.Contains(string(out), "RABBITMQ_PORT") {
		t.Errorf("a setting that does not count here is blamed:\n%s", out)
	}
	if _, err := os.Stat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the home was made: %v", err)
	}
}

func TestBanner(t *testing.T) {
	p := &environment{producer: "127.0.0.1:8001", consumer: "127.0.0.1:8002", amqpURL: "amqp://user:secret@127.0.0.1:20001/%2F"}
	p.databaseURL = func(l devservers.Login) string {
		return "postgres://" + l.Name + ":secret@127.0.0.1:20002/" + database
	}
	p.Reader.Name = "trail_reader"
	const home = "/home/alice/it's here/.trailpost"
	got := banner(home, home, p)
	golden.File(t, "banner.txt", got)
}

// What a shell reads back is what was written, whatever it is.
func TestEnvFileIsShell(t *testing.T) {
	variables := []string{
		"QUOTES=" + `'"` + "`", "SPACE= a  b ", "DOLLAR=$HOME ${x} $(y)", "HASH=a#b", "BACKSLASH=\\n\\", "EMPTY=", "GLOB=* ? [a]",
		"PASSWORD=" + statedir.NewPassword(),
	}
	name := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(name, []byte(envFile(variables, "/tools/it's")), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `. "$0" && exec env -0`, name)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(string(out), "\x00")
	for _, want := range append(variables, "PATH=/tools/it's:"+os.Getenv("PATH")) {
		if !slices.Contains(got, want) {
			t.Errorf("missing: %s\nin: %q", want, got)
		}
	}
}

// The environment tunes; it does not lead to other servers.
func TestEnvironment(t *testing.T) {
	p := &environment{settings: map[string]string{"DATABASE_HOST": "127.0.0.1", "DATABASE_PASSWORD": "ours"}}
	got := p.environ([]string{
		"LOG_LEVEL=DEBUG", "DATABASE_HOST=production", "DATABASE_PASSWORD_FILE=/secret", "DATABASE_SSLMODE=require", "RABBITMQ_TLS=true",
	})
	slices.Sort(got)
	want := []string{"DATABASE_HOST=127.0.0.1", "DATABASE_PASSWORD=ours", "LOG_LEVEL=DEBUG"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAddress(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for _, test := range []struct {
		environ []string
		port    int
		want    func(addr string) bool
	}{
		{nil, port, func(a string) bool { return strings.HasPrefix(a, "127.0.0.1:") && a != taken.Addr().String() }},
		{[]string{"PRODUCER_PORT=7"}, port, func(a string) bool { return a == "127.0.0.1:7" }},
		{[]string{"PRODUCER_HOST=0.0.0.0", "PRODUCER_PORT=7"}, port, func(a string) bool { return a == "127.0.0.1:7" }},
		{[]string{"PRODUCER_HOST=192.0.2.1", "PRODUCER_PORT=7"}, port, func(a string) bool { return a == "192.0.2.1:7" }},
	} {
		l := &local{environ: test.environ, err: io.Discard}
		got, err := l.address(&environment{settings: map[string]string{}}, "PRODUCER", test.port)
		if err != nil || !test.want(got) {
			t.Errorf("%q: %s, %v", test.environ, got, err)
		}
	}
}

// process is a running local.
type process struct {
	cmd    *exec.Cmd
	ended  chan error
	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
}

// locked writes to a buffer under the process's lock.
type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func start(t *testing.T, home string) *process {
	t.Helper()
	p := &process{ended: make(chan error, 1)}
	kind := os.Getenv(testbed.KindVariable)
	if kind == "" {
		kind = "auto"
	}
	p.cmd = exec.Command(os.Args[0], "--servers="+kind)
	p.cmd.Env = append(os.Environ(), runVariable+"=1", "TRAILPOST_HOME="+home)
	p.cmd.Stdout, p.cmd.Stderr = locked{&p.mu, &p.stdout}, locked{&p.mu, &p.stderr}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

func (p *process) text(b *bytes.Buffer) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return b.String()
}

func (p *process) log() string { return p.text(&p.stderr) }

func (p *process) awaitBanner(t *testing.T) string {
	t.Helper()
	waitFor(t, "the banner", func() bool {
		select {
		case err := <-p.ended:
			t.Fatalf("it ended: %v\n%s", err, p.log())
		default:
		}
		return strings.Contains(p.text(&p.stdout), "rabbitmqctl list_queues")
	})
	return p.text(&p.stdout)
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (p *process) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.ended:
		return err
	case <-time.After(2 * time.Minute):
		t.Fatalf("it does not end\n%s", p.log())
		return nil
	}
}

// bannerLine finds the banner's line of a command.
func bannerLine(t *testing.T, banner, command string) string {
	t.Helper()
	for line := range strings.Lines(banner) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, command) {
			return line
		}
	}
	t.Fatalf("the banner has no line with %q:\n%s", command, banner)
	return ""
}

// shell runs lines as a person's shell would, who is somewhere else.
func shell(t *testing.T, lines string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-e", "-c", lines)
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", lines, err, out)
	}
	return string(out)
}

// passwords returns each password as it is and as URLs have it.
func passwords(t *testing.T, read string) []string {
	t.Helper()
	out := shell(t, read+`printf '%s\n' "$PGPASSWORD" "$DATABASE_URL" "$WRITER_DATABASE_URL" "$OWNER_DATABASE_URL" "$AMQP_URL"`)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	all := slices.Clone(lines[:1])
	for _, url := range lines[1:] {
		_, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(url, "postgres://"), "amqp://"), ":")
		password, _, found := strings.Cut(rest, "@")
		if !found || len(password) < 20 {
			t.Fatalf("no password in %s", url)
		}
		all = append(all, password, password[len(password)-24:]) // its random end, which no quoting changes
	}
	return all
}

// removeHome removes what a home has, in docker and outside of it, too.
func removeHome(t *testing.T, home string) {
	t.Helper()
	for _, kind := range []devservers.Kind{devservers.Packages, devservers.Docker} {
		dir := filepath.Join(home, string(kind))
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if err := devservers.Remove(context.Background(), dir); err != nil {
			t.Errorf("removing %s: %v", dir, err)
		}
	}
	if err := os.RemoveAll(home); err != nil {
		t.Error(err)
	}
}

func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 2 minutes: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
