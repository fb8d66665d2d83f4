package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/deadletter"
)

func deadLetters() *cobra.Command {
	c := app.Command(&cobra.Command{
		Use:   "dead-letters",
		Short: "Lists and replays what could not be stored.",
	}, config.ForLetters)
	c.AddCommand(list(), replay())
	return c
}

// letterBroker is the broker's configuration for the subcommands.
func letterBroker() (broker.Config, error) {
	cfg, err := app.Load(config.ForLetters)
	if err != nil {
		return broker.Config{}, err
	}
	return app.Broker(cfg, "trailpost-dead-letters", app.Logger(cfg, "dead-letters"))
}

func list() *cobra.Command {
	var output string
	c := app.Command(&cobra.Command{
		Use:   "list",
		Short: "Shows the dead events, and leaves them where they are.",
		Long: "Shows the dead events, and leaves them where they are.\n\n" +
			"AMQP can't browse: messages are taken and given back, and while they are in hand another list doesn't see them.",
		Args: cobra.NoArgs,
	}, config.ForLetters)
	c.Flags().StringVarP(&output, "output", "o", "table", "table, or json: an object a line")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if output != "table" && output != "json" {
			return fmt.Errorf("--output must be table or json, not %q", output)
		}
		cfg, err := letterBroker()
		if err != nil {
			return err
		}
		if output == "json" {
			lines := json.NewEncoder(cmd.OutOrStdout())
			return deadletter.List(cmd.Context(), cfg, func(e deadletter.Entry) error { return lines.Encode(e) })
		}
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
		fmt.Fprintln(table, "EVENT ID\tREASON\tSQLSTATE\tFIRST TIME\tLAST TIME\tTYPE\tSESSION\tREPLAYS")
		err = deadletter.List(cmd.Context(), cfg, func(e deadletter.Entry) error {
			_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%.40q\t%d\t%d\n", orDash(e.EventID), e.Reason, orDash(e.SQLState),
				stamp(e.FirstTime), stamp(e.LastTime), e.EventType, e.SessionID, e.Replays)
			return err
		})
		if err != nil {
			return err
		}
		return table.Flush()
	}
	return c
}

func replay() *cobra.Command {
	var opts deadletter.ReplayOptions
	c := app.Command(&cobra.Command{
		Use:   "replay",
		Short: "Puts dead events back on the queue: all that were there when it started, or the chosen ones.",
		Long: "Puts dead events back on the queue: all that were there when it started, or the chosen ones.\n\n" +
			"An event leaves the dead-letter queue only when the broker holds its replay for good.",
		Args: cobra.NoArgs,
	}, config.ForLetters)
	c.Flags().StringVar(&opts.ID, "id", "", "only the event with this event_id")
	c.Flags().StringVar(&opts.Reason, "reason", "", "only events that died of this reason")
	c.Flags().BoolVar(&opts.NewID, "new-id", false, "give each event a fresh event_id, and keep the former one in a header: for an id that was reused")
	c.Flags().BoolVar(&opts.DryRun, "dry-run", false, "show what would be replayed, and change nothing")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if opts.ID != "" {
			id, err := uuid.Parse(opts.ID)
			if err != nil {
				return fmt.Errorf("--id must be an event_id, not %q", opts.ID)
			}
			opts.ID = id.String()
		}
		cfg, err := letterBroker()
		if err != nil {
			return err
		}
		replayed, left := 0, 0
		err = deadletter.Replay(cmd.Context(), cfg, opts, func(r deadletter.Replayed) error {
			if r.Left != nil {
				left++
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\tleft: %v\n", orDash(r.EventID), r.Reason, r.Left)
				return err
			}
			replayed++
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\n", orDash(r.EventID), r.Reason, r.NewID)
			return err
		})
		verb := "replayed"
		if opts.DryRun {
			verb = "would be replayed"
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%d %s, %d left\n", replayed, verb, left)
		return err
	}
	return c
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
