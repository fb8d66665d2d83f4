package app

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/cli"
)

// Main runs a command until it ends or the process is told to, and exits: 0, 2 for wrong settings,
// 1 for anything else.
func Main(c *cobra.Command) {
	tuneMemory()
	os.Exit(cli.Run(c, error.Error))
}
