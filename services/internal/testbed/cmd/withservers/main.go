// Command withservers runs a command beside one private RabbitMQ and PostgreSQL,
// which every test process below it then shares:
//
//	go run ./services/internal/testbed/cmd/withservers -- go test ./...
//
// The servers are gone when the command has ended. Its exit status is the
// command's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func main() {
	kind := flag.String("servers", os.Getenv(testbed.KindVariable), "auto, packages or docker")
	dir := flag.String("keep", "", "a folder that keeps the servers' data and logs (default: a temporary one)")
	export := flag.Bool("export", false, "tell the command where they are, too, in libpq's variables and AMQP_URL")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: withservers [--servers=auto|packages|docker] [--keep=FOLDER] [--export] -- COMMAND [ARGUMENT…]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	code, err := run(*kind, *dir, *export, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "withservers:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run returns the command's exit status, and an error for what went wrong around it.
func run(kind, dir string, export bool, argv []string) (code int, err error) {
	k, err := devservers.ParseKind(kind)
	if err != nil {
		return 2, err
	}
	// Ctrl-C reaches the command, too, from the terminal: wait for it to end
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	progress := func(s string) { fmt.Fprintln(os.Stderr, "withservers:", s) }
	pair, err := devservers.Open(ctx, devservers.Options{Dir: dir, Kind: k, Progress: progress})
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, pair.Close()) }()
	if err := pair.Start(ctx); err != nil {
		return 1, err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), testbed.ServersVariable+"="+pair.StateFile())
	if export {
		cmd.Env = append(cmd.Env, addresses(pair)...)
	}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if exit.ExitCode() < 0 { // a signal ended it
			return 1, fmt.Errorf("%s: %w", argv[0], err)
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}

// addresses are the servers' for a command that knows nothing of ours.
func addresses(pair *devservers.Pair) []string {
	p := pair.Postgres
	return []string{
		"PGHOST=" + p.Host, fmt.Sprintf("PGPORT=%d", p.Port), "PGUSER=" + p.Superuser.Name, "PGPASSWORD=" + p.Superuser.Password,
		"AMQP_URL=" + pair.Rabbit.URL("/", pair.Rabbit.User),
	}
}
