// Command producer takes events over HTTP and answers 202 only when RabbitMQ
// holds them for good.
//
// It is set up by environment variables; producer --help lists them.
package main

import (
	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/app/producer"
	"github.com/trailpost/trailpost/services/internal/cli"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/telemetry"
)

func main() { app.Main(command()) }

func command() *cobra.Command {
	root := cli.Command(&cobra.Command{
		Use:     "producer",
		Short:   "Takes events over HTTP and answers 202 only when RabbitMQ holds them durably.",
		Version: telemetry.ReadBuild().String(),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := cli.Load(config.ForProducer)
			if err != nil {
				return err
			}
			p, err := producer.New(cfg, cli.Logger(cfg, "producer"))
			if err != nil {
				return err
			}
			return p.Run(cmd.Context())
		},
	}, config.ForProducer)
	root.AddCommand(keys())
	return root
}
