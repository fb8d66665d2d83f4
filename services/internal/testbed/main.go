package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/trailpost/trailpost/services/internal/devservers"
)

// The environment of tests; see the package comment.
const (
	ServersVariable = "TRAILPOST_TEST_SERVERS"
	KindVariable    = "TRAILPOST_TEST_KIND"
	KeepVariable    = "TRAILPOST_TEST_KEEP"
)

type (
	// PostgresServer is one of a pair.
	PostgresServer = devservers.Postgres
	// RabbitServer is the other.
	RabbitServer = devservers.Rabbit
	// Login is a role with its password.
	Login = devservers.Login
)

// Servers is a PostgreSQL and a RabbitMQ. Both have Start, Stop, Kill and a log;
// RabbitServer.Ctl runs rabbitmqctl, PostgresServer.Connect and Exec run SQL.
type Servers struct {
	Postgres *PostgresServer
	Rabbit   *RabbitServer

	pair     *devservers.Pair
	template template // of the databases on Postgres
	vhosts   *vhosts  // on Rabbit
	private  bool     // nothing need be tidied up: it goes as a whole
}

// Local reports whether the servers are processes of this machine, not containers.
func (s *Servers) Local() bool { return s.pair.Kind() == devservers.Packages }

func newServers(pair *devservers.Pair) *Servers {
	s := &Servers{Postgres: pair.Postgres, Rabbit: pair.Rabbit, pair: pair}
	s.vhosts = newVhosts(s.Rabbit)
	return s
}

// shared is the pair of this test process.
var shared struct {
	sync.Mutex
	servers  *Servers
	err      error
	attached bool // it belongs to somebody else
}

// sharedServers opens, or attaches to, the pair of this process. It starts neither.
func sharedServers(t testing.TB) *Servers {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.servers == nil && shared.err == nil {
		shared.servers, shared.err = openShared()
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.servers
}

func openShared() (*Servers, error) {
	if file := os.Getenv(ServersVariable); file != "" {
		shared.attached = true
		pair, err := devservers.Attach(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", ServersVariable, err)
		}
		return newServers(pair), nil
	}
	return open(devservers.Options{})
}

// open makes a temporary pair of the wanted kind.
func open(options devservers.Options) (*Servers, error) {
	kind, err := devservers.ParseKind(os.Getenv(KindVariable))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", KindVariable, err)
	}
	options.Kind = kind
	pair, err := devservers.Open(context.Background(), options)
	if err != nil {
		return nil, fmt.Errorf("servers for tests (hack/install-packages installs them): %w", err)
	}
	return newServers(pair), nil
}

// start starts a shared server unless another process has.
func start(t testing.TB, s interface{ Start(context.Context) error }) {
	t.Helper()
	shared.Lock()
	attached := shared.attached
	shared.Unlock()
	if attached {
		return
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// Main runs the tests and exits with their result, after the servers that they
// shared are gone. If the process dies before that, the servers' watchers end
// them.
func Main(m *testing.M) {
	code := m.Run()
	if err := errors.Join(closeShared(), closeOwn()); err != nil {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func closeShared() error {
	shared.Lock()
	defer shared.Unlock()
	s := shared.servers
	switch {
	case s == nil:
		return nil
	case shared.attached: // others go on using the broker: leave it as it was
		return s.vhosts.close()
	default:
		return s.pair.Close()
	}
}

// own is the pair of this process that no other process shares.
var own struct {
	sync.Mutex
	servers *Servers
}

// OwnServers starts a pair that the tests of this process share, and no other
// process: a test that runs alone may stop, start and kill them, and leaves them
// running. They are gone at the end of [Main].
func OwnServers(t testing.TB) *Servers {
	t.Helper()
	own.Lock()
	defer own.Unlock()
	if own.servers == nil {
		s, err := open(devservers.Options{})
		if err != nil {
			t.Fatal(err)
		}
		own.servers = s
	}
	if err := own.servers.pair.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	showLog(t, "PostgreSQL", own.servers.Postgres)
	showLog(t, "RabbitMQ", own.servers.Rabbit)
	return own.servers
}

func closeOwn() error {
	own.Lock()
	defer own.Unlock()
	if own.servers == nil {
		return nil
	}
	return own.servers.pair.Close()
}

// PrivateServers starts a pair of the test's own, which it may stop, start and
// kill. It is gone at the end of the test.
func PrivateServers(t testing.TB) *Servers {
	t.Helper()
	return privateServers(t, devservers.Options{})
}

// MeasuredServers are PrivateServers whose RabbitMQ answers Prometheus
// (RabbitServer.MetricsURL).
func MeasuredServers(t testing.TB) *Servers {
	t.Helper()
	return privateServers(t, devservers.Options{BrokerMetrics: true})
}

// ManagedServers are PrivateServers whose RabbitMQ answers its management API
// (RabbitServer.ManagementURL) and Prometheus; with tls, both speak TLS alone.
func ManagedServers(t testing.TB, tls *devservers.TLS) *Servers {
	t.Helper()
	return privateServers(t, devservers.Options{BrokerManagement: true, BrokerMetrics: true, TLS: tls})
}

// TLSServers are PrivateServers that speak TLS alone.
func TLSServers(t testing.TB, tls devservers.TLS) *Servers {
	t.Helper()
	return privateServers(t, devservers.Options{TLS: &tls})
}

// Recertify gives both servers another certificate; see [devservers.Pair.Recertify].
func (s *Servers) Recertify(ctx context.Context, certificate, key []byte) error {
	return s.pair.Recertify(ctx, certificate, key)
}

// PrivatePostgres are PrivateServers whose RabbitMQ is not started.
func PrivatePostgres(t testing.TB) *Servers {
	t.Helper()
	s := unstarted(t, devservers.Options{})
	if err := s.Postgres.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	showLog(t, "PostgreSQL", s.Postgres)
	return s
}

// unstarted opens a pair of the test's own, and starts nothing.
func unstarted(t testing.TB, options devservers.Options) *Servers {
	t.Helper()
	s, err := open(options)
	if err != nil {
		t.Fatal(err)
	}
	s.private = true
	t.Cleanup(func() {
		if err := s.pair.Close(); err != nil {
			t.Errorf("closing the test's servers: %v", err)
		}
	})
	return s
}

func privateServers(t testing.TB, options devservers.Options) *Servers {
	t.Helper()
	s := unstarted(t, options)
	if err := s.pair.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	showLog(t, "PostgreSQL", s.Postgres)
	showLog(t, "RabbitMQ", s.Rabbit)
	return s
}

// Beside makes a PostgreSQL beside another; see [devservers.Postgres.Beside]. It is gone at the end of the test.
func Beside(t testing.TB, of *PostgresServer, name string, settings ...string) *PostgresServer {
	t.Helper()
	p, err := of.Beside(name, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Discard(context.Background()); err != nil {
			t.Errorf("removing a server of the test's: %v", err)
		}
	})
	showLog(t, fmt.Sprintf("PostgreSQL %s at %s", name, p.Address()), p)
	return p
}

// logger is a server that logs.
type logger interface {
	Mark() devservers.Mark
	LogSince(devservers.Mark, int) string
}

// shown are the tests, and servers' names, that showLog has seen.
var shown sync.Map

// showLog has a failing test print, once, what the server logged since now.
func showLog(t testing.TB, name string, s logger) {
	key := struct {
		t    testing.TB
		name string
	}{t, name}
	if _, again := shown.LoadOrStore(key, true); again {
		return
	}
	mark := s.Mark()
	t.Cleanup(func() {
		shown.Delete(key)
		if !t.Failed() {
			return
		}
		if text := s.LogSince(mark, 40); text != "" {
			t.Logf("the end of what %s logged during this test:\n%s", name, text)
		}
	})
}

// keep reports whether what a test used is to be kept.
func keep(t testing.TB) bool { return t.Failed() && os.Getenv(KeepVariable) == "1" }
