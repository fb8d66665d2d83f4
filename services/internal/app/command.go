package app

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/telemetry"
)

// Command makes the commands of all binaries alike: --help ends with the variables
// that the command reads, and errors are printed once, by main.
func Command(c *cobra.Command, variables config.Binary) *cobra.Command {
	c.SilenceErrors = true
	c.SilenceUsage = true
	usage := c.HelpFunc()
	c.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		usage(cmd, args)
		fmt.Fprintln(cmd.OutOrStdout())
		_ = config.Usage(cmd.OutOrStdout(), variables)
	})
	c.CompletionOptions.DisableDefaultCmd = true
	return c
}

// Load reads the process's configuration.
func Load(binary config.Binary) (*config.Config, error) {
	return config.Load(binary, os.Environ(), ".")
}

// Logger is the process's logger, to standard error.
func Logger(cfg *config.Config, service string) *slog.Logger {
	return telemetry.NewLogger(os.Stderr, cfg.Service.LogLevel.Level(), cfg.Service.Environment, service)
}
