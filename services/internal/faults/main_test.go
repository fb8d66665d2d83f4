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
	"github.com/trailpost/trailpost/services/internal/cli"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/drain"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

var (
	seedFlag     = flag.Uint64("faults.seed", 0, "seed of the random schedule; 0: another one each time")
	durationFlag = flag.Duration("faults.duration", 15*time.Second, "length of the random schedule; from 2m on with faults that take long")
	onlyFlag     = flag.String("faults.only", "", "regular expression of the faults to have, by hop/kind")
	servicesFlag = flag.String("faults.services", "", "this package's test binary of another commit, whose services are to run; hack/faults-binary makes it")
	traceFlag    = flag.Bool("faults.trace", false, "print each fault of the schedule when it begins")
	allFlag      = flag.Bool("faults.all", false, "every fault alone, and the mutants in the random schedule")
)

// roleVariable makes the test binary a producer or a consumer. The two others are told
// to it alone: what it is instead of the product, and a shorter time for an attempt to
// store.
const (
	roleVariable         = "TRAILPOST_TEST_ROLE"
	mutantVariable       = "TRAILPOST_TEST_MUTANT"
	storeTimeoutVariable = "TRAILPOST_TEST_STORE_TIMEOUT"
)

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
	broken := mutantNamed(os.Getenv(mutantVariable))
	if role == "producer" {
		cfg, err := cli.Load(config.ForProducer)
		if err != nil {
			return err
		}
		var options []producer.Option
		if broken.publisher != nil {
			options = append(options, producer.AroundPublisher(broken.publisher))
		}
		p, err := producer.New(cfg, cli.Logger(cfg, role), options...)
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
	if text := os.Getenv(storeTimeoutVariable); text != "" {
		if c.StoreTimeout, err = time.ParseDuration(text); err != nil {
			return err
		}
	}
	if broken.store != nil {
		database := app.Database(cfg)
		c.AroundStore = func(s drain.Store) drain.Store { return broken.store(s, database) }
	}
	fmt.Println(c.Addr())
	return c.Run(ctx)
}
