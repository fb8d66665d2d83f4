// Command consumer takes events off the queue and stores each exactly once in
// PostgreSQL. Its subcommand dead-letters lists and replays what could not be
// stored.
//
// It is set up by environment variables; consumer --help lists them.
package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/cli"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/migrator"
	"github.com/trailpost/trailpost/services/internal/telemetry"
)

func main() {
	// The image has migrate as a second name of this program.
	if filepath.Base(os.Args[0]) == "migrate" {
		os.Exit(migrator.Main())
	}
	app.Main(command())
}

func command() *cobra.Command {
	root := cli.Command(&cobra.Command{
		Use:     "consumer",
		Short:   "Takes events off the queue and stores each exactly once in PostgreSQL.",
		Version: telemetry.ReadBuild().String(),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := cli.Load(config.ForConsumer)
			if err != nil {
				return err
			}
			consumer, err := app.NewConsumer(cfg, cli.Logger(cfg, "consumer"))
			if err != nil {
				return err
			}
			return consumer.Run(cmd.Context())
		},
	}, config.ForConsumer)
	root.AddCommand(deadLetters(), wait(), selfTest())
	return root
}
