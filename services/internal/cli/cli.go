// Package cli makes the commands of all binaries alike: their help, their configuration, their log
// and how they end.
package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/telemetry"
)

// Command makes the commands of all binaries alike: --help ends with the variables that the command
// reads, and errors are printed once, by Run.
func Command(c *cobra.Command, variables config.Binary) *cobra.Command {
	c.SilenceErrors = true
	c.SilenceUsage = true
	// Not by a template: with one, the linker must keep every method of every type.
	usage := c.HelpFunc()
	c.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		usage(cmd, args)
		fmt.Fprintln(cmd.OutOrStdout())
		_ = config.Usage(cmd.OutOrStdout(), variables)
	})
	c.CompletionOptions.DisableDefaultCmd = true
	return c
}

// Run runs a command until it ends or the process is told to, prints the message of its error, and
// returns the exit code: 0, 2 for wrong settings, 1 for anything else.
func Run(c *cobra.Command, message func(error) string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := c.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, message(err))
	}
	return config.ExitCode(err)
}

// Load reads the process's configuration.
func Load(binary config.Binary) (*config.Config, error) {
	return config.Load(binary, os.Environ(), ".")
}

// Logger is the process's logger, to standard error. It begins with what is wrong with the settings
// and did not stop the start.
func Logger(cfg *config.Config, service string) *slog.Logger {
	log := telemetry.NewLogger(os.Stderr, cfg.Service.LogLevel.Level(), cfg.Service.Environment, service)
	cfg.LogWarnings(log)
	return log
}
