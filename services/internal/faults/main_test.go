package faults

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/app/producer"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

var (
	seedFlag     = flag.Uint64("faults.seed", 0, "seed of the random schedule; 0: another one each time")
	durationFlag = flag.Duration("faults.duration", 15*time.Second, "length of the random schedule; from 2m on with faults that take long")
	traceFlag    = flag.Bool("faults.trace", false, "print each fault of the schedule when it begins")
	allFlag      = flag.Bool("faults.all", false, "every fault alone, and the builds that the judge must convict")
)

// roleVariable makes the test binary a producer or a consumer.
const roleVariable = "TRAILPOST_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := serve(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(config.ExitCode(err))
		}
		os.Exit(0)
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy's
	testbed.Main(m)
}

func serve(role string) error {
	// Who started us holds the other end: nobody outlives a test that was killed.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if role == "producer" {
		cfg, err := app.Load(config.ForProducer)
		if err != nil {
			return err
		}
		p, err := producer.New(cfg, app.Logger(cfg, role))
		if err != nil {
			return err
		}
		fmt.Println(p.Addr())
		return p.Run(ctx)
	}
	cfg, err := app.Load(config.ForConsumer)
	if err != nil {
		return err
	}
	c, err := app.NewConsumer(cfg, app.Logger(cfg, role))
	if err != nil {
		return err
	}
	fmt.Println(c.Addr())
	return c.Run(ctx)
}
