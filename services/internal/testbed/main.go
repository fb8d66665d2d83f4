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

// keep reports whether what a test used is to be kept.
func keep(t testing.TB) bool { return t.Failed() && os.Getenv(KeepVariable) == "1" }
