package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/apikey"
)

// keys makes API keys. It needs no server and reads no setting.
func keys() *cobra.Command {
	parent := &cobra.Command{
		Use:   "keys",
		Short: "Makes API keys.",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	parent.AddCommand(&cobra.Command{
		Use:   "new NAME",
		Short: "Makes a key, and its line for PRODUCER_API_KEYS_FILE.",
		Long: `Makes a key of 256 random bits, and its line for PRODUCER_API_KEYS_FILE.

The key is shown now and never again: the line has its SHA-256. NAME is stored
with each event that is sent with the key. It may have several keys at a time,
which is how one is replaced: add the new line, give the client the new key, and
take the old line away.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, line, err := apikey.New(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "key:  %s\nline: %s\n", key, line)
			return err
		},
	})
	parent.SetHelpFunc(new(cobra.Command).HelpFunc()) // the usual one: no variables are read
	return parent
}
