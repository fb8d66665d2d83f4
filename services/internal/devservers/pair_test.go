package devservers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/devservers/docker"
	"github.com/trailpost/trailpost/services/internal/devservers/engine"
	"github.com/trailpost/trailpost/services/internal/devservers/process"
	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
)

// holderVariable makes this test binary hold a pair in the folder that it names,
// or a temporary one, until it is killed.
const holderVariable = "TRAILPOST_TEST_HOLDER"

const temporary = "temporary"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holderVariable); dir != "" {
		hold(dir)
	}
	os.Exit(m.Run())
}

// testKind lets the whole file run against containers.
func testKind(t *testing.T) Kind {
	t.Helper()
	k, err := ParseKind(os.Getenv("TRAILPOST_TEST_KIND"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func openPair(t *testing.T, dir string) *Pair {
	t.Helper()
	p, err := Open(t.Context(), Options{Dir: dir, Kind: testKind(t), Progress: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
	})
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A pair keeps what it promised to keep, through a stop and through a kill, and is
// nobody's business but ours.
func TestPair(t *testing.T) {
	t.Parallel()
	p := openPair(t, "")
	must(t, p.Start(t.Context()))
	write(t, p)

	t.Run("listens on the loopback alone", func(t *testing.T) { loopbackAlone(t, p) })
	t.Run("has no guest", func(t *testing.T) {
		_, err := amqp.Dial(p.Rabbit.URL("/", Login{"guest", "guest"}))
		if !errors.Is(err, amqp.ErrCredentials) {
			t.Errorf("guest logs in: %v", err)
		}
	})
	t.Run("has durability on", func(t *testing.T) {
		conn, err := p.Postgres.Connect(t.Context(), "postgres")
		must(t, err)
		defer conn.Close(context.Background())
		for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
			var value string
			must(t, conn.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&value))
			if value != "on" {
				t.Errorf("%s is %s", setting, value)
			}
		}
	})
	t.Run("answers rabbitmqctl", func(t *testing.T) {
		out, err := p.Rabbit.Ctl(t.Context(), "--quiet", "list_queues", "--no-table-headers", "name", "durable")
		must(t, err)
		if got := strings.Fields(string(out)); len(got) != 2 || got[0] != "kept" || got[1] != "true" {
			t.Errorf("list_queues: %q", out)
		}
		if _, err := p.Rabbit.Ctl(t.Context(), "no_such_command"); err == nil || !strings.Contains(err.Error(), "no_such_command") {
			t.Errorf("the error of a wrong command: %v", err)
		}
	})

	t.Run("evaluates Erlang", func(t *testing.T) {
		must(t, p.Rabbit.Eval(t.Context(), "true = rabbit:is_running(), ok"))
		for _, wrong := range []string{"error(%s)", "%s", "{error, %s}"} {
			// what fails says so, and not only what was to be evaluated
			wrong = fmt.Sprintf(wrong, `list_to_atom("evaluated" ++ "_badly")`)
			if err := p.Rabbit.Eval(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "evaluated_badly") {
				t.Errorf("%s: %v", wrong, err)
			}
		}
	})
	t.Run("has tools for a shell", func(t *testing.T) {
		env := append(p.Rabbit.Environment(), "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"), "PGDATABASE=postgres",
			"PGHOST="+p.Postgres.Host, "PGPORT="+strconv.Itoa(int(p.Postgres.Port)),
			"PGUSER="+p.Postgres.Superuser.Name, "PGPASSWORD="+p.Postgres.Superuser.Password)
		for _, tool := range []struct{ line, args, want string }{
			{p.Postgres.Tool("psql"), `-Atc 'SELECT n FROM kept'`, "1\n"},
			{p.Rabbit.Tool("rabbitmqctl"), "--quiet list_vhosts --no-table-headers", "/\n"},
		} {
			cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", "set -- "+tool.args+"\nexec "+tool.line)
			cmd.Env = env
			if out, err := engine.Run(cmd, ""); err != nil || string(out) != tool.want {
				t.Errorf("%s: %q, %v", tool.line, out, err)
			}
		}
	})

	must(t, p.Rabbit.Stop(t.Context()))
	if p.state.Kind != Docker { // a start that comes at once has its own port mapper listen there
		mapper, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.state.Rabbit.EPMDPort)))
		must(t, err)
		must(t, mapper.Close())
	}
	must(t, p.Stop(t.Context()))
	nothingRuns(t, p)
	must(t, p.Start(t.Context()))
	check(t, p)

	busy(t, p)
	must(t, p.Postgres.Kill())
	must(t, p.Rabbit.Kill())
	nothingRuns(t, p)
	must(t, p.Start(t.Context()))
	check(t, p)
	if p.Postgres.LogSince(Mark{}, 10) == "" || p.Rabbit.LogSince(Mark{}, 10) == "" {
		t.Error("no log")
	}

	must(t, p.Close())
	nothingRuns(t, p)
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("the temporary folder is still there: %v", err)
	}
}

// A holder that dies takes its servers with it, and the next one finds their data.
func TestKilledHolder(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "trailpost-test-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	holder, _ := startHolder(t, dir)

	if _, err := Open(t.Context(), Options{Dir: dir, Kind: testKind(t)}); !errors.Is(err, statedir.ErrInUse) {
		t.Fatalf("a second holder: %v", err)
	}
	must(t, holder.Process.Kill())
	_ = holder.Wait()

	p := openPair(t, dir) // waits for the watchers
	nothingRuns(t, p)
	must(t, p.Start(t.Context()))
	check(t, p)
	must(t, p.Close())
	nothingRuns(t, p)
	must(t, Remove(t.Context(), dir))
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the removed folder: %v", err)
	}
}

func TestKilledHolderOfTemporary(t *testing.T) {
	t.Parallel()
	holder, dir := startHolder(t, temporary)
	s, found, err := loadState(dir)
	if err != nil || !found {
		t.Fatalf("state: %v", err)
	}
	p := &Pair{dir: dir, state: s}
	if remains(t, p) == "" {
		t.Fatal("no server is found while its holder lives: this test sees nothing")
	}
	must(t, holder.Process.Kill())
	_ = holder.Wait()
	eventually(t, "the servers and their folder are gone", func() bool {
		_, err := os.Stat(dir)
		return os.IsNotExist(err) && remains(t, p) == ""
	})
}

func TestFailedStartShowsTheLog(t *testing.T) {
	t.Parallel()
	p := openPair(t, "")
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(p.Postgres.Port))))
	must(t, err)
	defer l.Close()
	err = p.Postgres.Start(t.Context())
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "address already in use") {
		t.Errorf("the start on a port in use: %v", err)
	}
}

// hold is the life of a holder: it starts servers, says where, and waits to be
// killed. A temporary one has PostgreSQL alone, which is quicker.
func hold(dir string) {
	ctx := context.Background()
	if dir == temporary {
		dir = ""
	}
	kind, err := ParseKind(os.Getenv("TRAILPOST_TEST_KIND"))
	fatal(err)
	p, err := Open(ctx, Options{Dir: dir, Kind: kind})
	fatal(err)
	if dir == "" {
		fatal(p.Postgres.Start(ctx))
	} else {
		fatal(p.Start(ctx))
		fatal(writeTo(ctx, p))
	}
	_, err = os.Stdout.WriteString(p.dir + "\n")
	fatal(err)
	select {}
}

func fatal(err error) {
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

// startHolder returns when the holder's servers are ready, with its folder.
func startHolder(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), holderVariable+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the holder said nothing: %v", err)
	}
	return cmd, strings.TrimSpace(line)
}

// busy leaves PostgreSQL with a session that computes for minutes: one that waits
// would notice by itself that its server is gone.
func busy(t *testing.T, p *Pair) {
	t.Helper()
	conn, err := p.Postgres.Connect(t.Context(), "postgres")
	must(t, err)
	go func() {
		_, _ = conn.Exec(context.Background(), "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a = b + a")
		_ = conn.Close(context.Background())
	}()
	watcher, err := p.Postgres.Connect(t.Context(), "postgres")
	must(t, err)
	defer watcher.Close(context.Background())
	eventually(t, "the session is busy", func() bool {
		var n int
		must(t, watcher.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND wait_event IS NULL AND query LIKE '%generate_series%' AND pid <> pg_backend_pid()").Scan(&n))
		return n == 1
	})
}

func write(t *testing.T, p *Pair) {
	t.Helper()
	must(t, writeTo(t.Context(), p))
}

// writeTo leaves a row and a confirmed message.
func writeTo(ctx context.Context, p *Pair) error {
	if err := p.Postgres.Exec(ctx, "postgres", "CREATE TABLE kept AS SELECT 1 AS n"); err != nil {
		return err
	}
	conn, err := amqp.Dial(p.Rabbit.URL("/", p.Rabbit.User))
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	if _, err := ch.QueueDeclare("kept", true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		return err
	}
	confirm, err := ch.PublishWithDeferredConfirm("", "kept", true, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("kept")})
	if err != nil {
		return err
	}
	acked, err := confirm.WaitContext(ctx)
	if err == nil && !acked {
		err = errors.New("the broker did not take the message")
	}
	return err
}

// check finds what write left.
func check(t *testing.T, p *Pair) {
	t.Helper()
	conn, err := p.Postgres.Connect(t.Context(), "postgres")
	must(t, err)
	defer conn.Close(context.Background())
	var n int
	must(t, conn.QueryRow(t.Context(), "SELECT n FROM kept").Scan(&n))
	mq, err := amqp.Dial(p.Rabbit.URL("/", p.Rabbit.User))
	must(t, err)
	defer mq.Close()
	ch, err := mq.Channel()
	must(t, err)
	// a quorum queue is there before it has elected itself a leader
	eventually(t, "the message is there", func() bool {
		q, err := ch.QueueDeclarePassive("kept", true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
		must(t, err)
		return q.Messages == 1
	})
}

// loopbackAlone dials each port at every other address of this machine.
func loopbackAlone(t *testing.T, p *Pair) {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	must(t, err)
	for _, port := range []int{p.state.Postgres.Port, p.state.Rabbit.Port, p.state.Rabbit.DistPort, p.state.Rabbit.EPMDPort} {
		for _, addr := range addrs {
			ip, ok := addr.(*net.IPNet)
			if !ok || ip.IP.IsLoopback() || ip.IP.To4() == nil {
				continue
			}
			where := net.JoinHostPort(ip.IP.String(), strconv.Itoa(port))
			if conn, err := net.DialTimeout("tcp", where, time.Second); err == nil {
				_ = conn.Close()
				t.Errorf("something listens on %s", where)
			}
		}
	}
}

// nothingRuns allows helpers of a server that has ended (Erlang's resolver, its
// disk monitor) the moment they need to find that out.
func nothingRuns(t *testing.T, p *Pair) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for left := remains(t, p); left != ""; left = remains(t, p) {
		if time.Now().After(deadline) {
			t.Fatalf("still there:\n%s", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// remains lists the running processes, or containers, of a pair, watchers included.
func remains(t *testing.T, p *Pair) string {
	t.Helper()
	if p.state.Kind == Docker {
		out, err := engine.Run(docker.Command(t.Context(), "ps", "--quiet", "--filter", "label="+docker.Label+"="+p.state.ID), "")
		must(t, err)
		return strings.TrimSpace(string(out))
	}
	if !process.ProcMounted() {
		t.Fatal("this test reads /proc")
	}
	var left []string
	names, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range names {
		b, err := os.ReadFile(name)
		words := strings.ReplaceAll(string(b), "\x00", " ")
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		// epmd is known by its port, PostgreSQL's sessions by where they are, the rest
		// by the folder that they name
		cwd, _ := os.Readlink(filepath.Join(filepath.Dir(name), "cwd"))
		mapper := "-port " + strconv.Itoa(p.state.Rabbit.EPMDPort)
		if err != nil || pid == os.Getpid() || !process.Alive(pid) {
			continue
		}
		if strings.Contains(words, p.state.Data+"/") || strings.HasPrefix(cwd, p.state.Data+"/") || strings.Contains(words, mapper) {
			left = append(left, strconv.Itoa(pid)+" "+words)
		}
	}
	return strings.Join(left, "\n")
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
