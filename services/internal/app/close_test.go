package app_test

import (
	"log/slog"
	"net"
	"testing"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/app/producer"
	"github.com/trailpost/trailpost/services/internal/config"
)

var discard = slog.New(slog.DiscardHandler)

// settings need no server: none is asked before Run.
func settings(t *testing.T, binary config.Binary, more ...string) *config.Config {
	t.Helper()
	cfg, err := config.Load(binary, append([]string{
		"DATABASE_HOST=127.0.0.1", "DATABASE_NAME=trail", "DATABASE_USER=writer", "DATABASE_PASSWORD=none",
		"RABBITMQ_HOST=127.0.0.1", "RABBITMQ_USER=trailpost", "RABBITMQ_PASSWORD=none",
		"PRODUCER_HOST=127.0.0.1", "PRODUCER_PORT=0", "CONSUMER_HOST=127.0.0.1", "CONSUMER_PORT=0",
	}, more...), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// mustBeFree fails the test if somebody still listens there.
func mustBeFree(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Errorf("after the end: %v", err)
		return
	}
	l.Close()
}

// What was made and never run is closed, twice if need be, and its port is free again.
func TestCloseWithoutRun(t *testing.T) {
	c, err := app.NewConsumer(settings(t, config.ForConsumer), discard)
	if err != nil {
		t.Fatal(err)
	}
	p, err := producer.New(settings(t, config.ForProducer), discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []interface {
		Addr() net.Addr
		Close() error
	}{c, p} {
		for range 2 {
			if err := service.Close(); err != nil {
				t.Errorf("%T: %v", service, err)
			}
		}
		mustBeFree(t, service.Addr().String())
	}
}

// A producer whose second port is taken leaves the first one free.
func TestNewThatFailsLeavesNothing(t *testing.T) {
	const host = "127.37.0.1" // of this test, so that nobody takes the port that it lets go
	taken, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, takenPort, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	probes := free.Addr().String()
	free.Close()
	_, probesPort, err := net.SplitHostPort(probes)
	if err != nil {
		t.Fatal(err)
	}
	cfg := settings(t, config.ForProducer, "PRODUCER_HOST="+host, "PRODUCER_PORT="+takenPort, "PRODUCER_METRICS_PORT="+probesPort)
	if _, err := producer.New(cfg, discard); err == nil {
		t.Fatal("it listens on a port that is taken")
	}
	mustBeFree(t, probes)
}
