// Package migrator is the command migrate, which is a program of its own and, in the
// image, a second name of the consumer: one file for both is half as large.
package migrator

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

// Main is the command migrate: it reads the process's arguments and environment, and
// returns the exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(os.Environ(), ".").ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, message(err))
	}
	return config.ExitCode(err)
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
