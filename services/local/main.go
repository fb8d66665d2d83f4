// Command local runs all of Trailpost on one machine: a private RabbitMQ and a
// private PostgreSQL, the producer and the consumer, in one process.
//
//	go run ./services/local [--servers=auto|packages|docker]
//
// When everything is ready it prints a banner with the URLs and a curl to try, and
// writes the same to the file env of its home for scripts:
//
//	. .trailpost/env
//	curl "$PRODUCER_URL/health"
//	psql -c 'SELECT count(*) FROM log_events'
//	rabbitmqctl list_queues name messages consumers
//
// Its home is .trailpost in the working directory, or $TRAILPOST_HOME. Data, ports
// and passwords are kept there for the next start; one process at a time can use
// it. Ctrl-C (SIGINT, SIGTERM, SIGHUP) stops everything in order and exits with 0;
// a second Ctrl-C doesn't wait. If the process dies, its servers are stopped by
// their watchers (package devservers), also after kill -9.
//
// Settings of the producer and the consumer that say where the servers are, and
// who logs in, are this command's own. All others (LOG_LEVEL, CONSUMER_WORKERS,
// PRODUCER_PORT …) are taken from the environment; .env is not read, since it
// speaks of other servers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/devservers"
)

func main() { os.Exit(run()) }

func run() int {
	kind, err := flags(os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // from then on the signals have their usual effect

	l := &local{home: os.Getenv("TRAILPOST_HOME"), kind: kind, environ: os.Environ(), out: os.Stdout, err: os.Stderr}
	if l.home == "" {
		l.home = ".trailpost"
	}
	if err := l.run(ctx); err != nil {
		l.say(err.Error())
		return config.ExitCode(err)
	}
	l.say("stopped")
	return 0
}

// flags has printed what is wrong when it returns an error.
func flags(args []string) (devservers.Kind, error) {
	set := flag.NewFlagSet("local", flag.ContinueOnError)
	set.Usage = func() {
		fmt.Fprintln(set.Output(), "usage: local [--servers=auto|packages|docker]")
		set.PrintDefaults()
		fmt.Fprintln(set.Output(), "  TRAILPOST_HOME\n\tfolder for data, ports, passwords and the file env (default .trailpost)")
	}
	kind := devservers.Auto
	set.Func("servers", "where RabbitMQ and PostgreSQL come from: `auto`, packages or docker\n"+
		"(default auto: installed packages, else docker if it answers)", func(s string) (err error) {
		kind, err = devservers.ParseKind(s)
		return err
	})
	if err := set.Parse(args); err != nil {
		return "", err
	}
	if set.NArg() > 0 {
		fmt.Fprintf(set.Output(), "unexpected argument %q\n", set.Arg(0))
		set.Usage()
		return "", errors.New("usage")
	}
	return kind, nil
}
