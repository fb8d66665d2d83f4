package pipeline

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/app/producer"
	"github.com/trailpost/trailpost/services/internal/cli"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/migrator"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// The test binary is also the producer and the consumer, as processes of their own that
// tests can kill; with a hook that the real ones don't have.
const (
	roleVariable = "TRAILPOST_TEST_ROLE" // producer, consumer or migrate
	HookVariable = "TRAILPOST_TEST_HOOK" // between commit and ack: "slow MILLISECONDS", or "stall N": for ever at the Nth
)

// What a process with a hook says: after its first commit, and when it stands
// between commit and ack.
const (
	Committed = "committed"
	Stalled   = "stalled"
)

// Main runs the tests of a package, or the service that a test has started this binary as.
func Main(m *testing.M) {
	if role := os.Getenv(roleVariable); role == "migrate" {
		os.Exit(migrator.Main())
	} else if role != "" {
		if err := serve(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(config.ExitCode(err))
		}
		os.Exit(0)
	}
	testbed.Main(m)
}

func serve(role string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if role == "producer" {
		cfg, err := cli.Load(config.ForProducer)
		if err != nil {
			return err
		}
		p, err := producer.New(cfg, cli.Logger(cfg, role))
		if err != nil {
			return err
		}
		fmt.Println(p.Addr())
		return p.Run(ctx)
	}
	cfg, err := cli.Load(config.ForConsumer)
	if err != nil {
		return err
	}
	c, err := app.NewConsumer(cfg, cli.Logger(cfg, role))
	if err != nil {
		return err
	}
	c.AfterCommit = hook(os.Getenv(HookVariable))
	fmt.Println(c.Addr())
	return c.Run(ctx)
}

func hook(text string) func() {
	kind, number, _ := strings.Cut(text, " ")
	n, _ := strconv.ParseInt(number, 10, 64)
	switch kind {
	case "slow":
		say := sync.OnceFunc(func() { fmt.Println(Committed) })
		return func() {
			say()
			time.Sleep(time.Duration(n) * time.Millisecond)
		}
	case "stall":
		var commits atomic.Int64
		return func() {
			if commits.Add(1) == n {
				fmt.Println(Stalled)
				select {}
			}
		}
	}
	return nil
}
