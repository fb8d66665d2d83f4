// Command migrate brings PostgreSQL to the schema that this release needs, and makes the roles that use it.
//
//	migrate roles        once a cluster, and to change passwords
//	migrate up --wait    at every release, by as many at once as like
//	migrate version
//	migrate down N
//	migrate force N
//
// `migrate --help` lists the environment variables. It exits with 2 when one of them is wrong and with 1 when anything
// else is.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/trailpost/trailpost/services/internal/config"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(os.Environ(), ".").ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, message(err))
	}
	os.Exit(config.ExitCode(err))
}

// message is what a person sees: a line for each wrong setting, one line for anything else. (pgx has a line for every
// attempt to connect, and two of them for one address that it tries with TLS and without.)
func message(err error) string {
	if config.ExitCode(err) == 2 {
		return err.Error()
	}
	var parts []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(parts, line) {
			parts = append(parts, line)
		}
	}
	return "migrate: " + strings.Join(parts, " ")
}
