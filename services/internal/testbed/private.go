package testbed

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/trailpost/trailpost/services/internal/devservers"
)

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

// Beside makes a PostgreSQL beside another; see [devservers.Postgres.Beside]. It is gone at the end
// of the test.
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
