package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/cli"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
)

func deadLetters() *cobra.Command {
	c := cli.Command(&cobra.Command{
		Use:   "dead-letters",
		Short: "Lists and replays what could not be stored.",
		// Or cobra takes a misspelt subcommand for a wish for help, and succeeds.
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}, config.ForLetters)
	c.AddCommand(list(), replay())
	return c
}

// letters is what the subcommands have in common; an error, too, where a policy would lose letters by what they do.
func letters(cmd *cobra.Command, use app.LetterUse) (cfg *config.Config, queue broker.Config, log *slog.Logger, err error) {
	cfg, err = cli.Load(config.ForLetters)
	if err != nil {
		return nil, queue, nil, err
	}
	if err := app.CheckLetterPolicies(cmd.Context(), cfg, use, cmd.ErrOrStderr()); err != nil {
		return nil, queue, nil, err
	}
	log = cli.Logger(cfg, "dead-letters")
	queue, err = app.Broker(cfg, "trailpost-dead-letters", log)
	return cfg, queue, log, err
}

func list() *cobra.Command {
	var output string
	c := cli.Command(&cobra.Command{
		Use:   "list",
		Short: "Shows the dead events, and leaves them where they are.",
		Long: "Shows the dead events, and leaves them where they are.\n\n" +
			"AMQP can't browse: messages are taken and given back, and while they are held another list doesn't see them: it shows the others, and fails.",
		Args: cobra.NoArgs,
	}, config.ForLetters)
	c.Flags().StringVarP(&output, "output", "o", "table", "table, or json: an object a line")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if output != "table" && output != "json" {
			return fmt.Errorf("--output must be table or json, not %q", output)
		}
		cfg, queue, _, err := letters(cmd, app.ListLetters)
		if err != nil {
			return err
		}
		key := event.NewKey(cfg.Service.IdentityKeyBytes())
		if output == "json" {
			lines := json.NewEncoder(cmd.OutOrStdout())
			return deadletter.List(cmd.Context(), queue, key, func(e deadletter.Entry) error { return lines.Encode(e) })
		}
		table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
		fmt.Fprintln(table, "EVENT ID\tREASON\tSQLSTATE\tFIRST TIME\tLAST TIME\tTYPE\tSESSION\tREPLAYS")
		err = deadletter.List(cmd.Context(), queue, key, func(e deadletter.Entry) error {
			_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%.40q\t%d\t%d\n", orDash(e.EventID), e.Reason, orDash(e.SQLState),
				stamp(e.FirstTime), stamp(e.LastTime), e.EventType, e.SessionID, e.Replays)
			return err
		})
		return errors.Join(table.Flush(), err)
	}
	return c
}

func replay() *cobra.Command {
	var opts deadletter.ReplayOptions
	c := cli.Command(&cobra.Command{
		Use:   "replay",
		Short: "Puts dead events back on the queue: all that were there when it started, or the chosen ones.",
		Long: "Puts dead events back on the queue: all that were there when it started, or the chosen ones.\n\n" +
			"An event leaves the dead-letter queue only when the broker has confirmed its replay. Then the queue is looked through until " +
			"no letter that was replayed is in it, nor in anybody's hands, for up to a minute. Where that can't be seen, the replay " +
			"says so and fails: another one stores nothing twice.",
		Args: cobra.NoArgs,
	}, config.ForLetters)
	c.Flags().StringVar(&opts.ID, "id", "", "only the event with this event_id")
	c.Flags().StringVar(&opts.Reason, "reason", "", "only events that died of this reason")
	c.Flags().BoolVar(&opts.NewID, "new-id", false, "give each event another event_id, and keep the former one in a header: for an id that was reused, or can't be one. "+
		"It is derived from the former one and the event under IDENTITY_KEY: the same event gets the same one again")
	c.Flags().BoolVar(&opts.DryRun, "dry-run", false, "show what would be replayed, and change nothing")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		// An empty one, from a script's variable that has nothing in it, must not mean all of them.
		for _, name := range []string{"id", "reason"} {
			if flag := cmd.Flag(name); flag.Changed && strings.TrimSpace(flag.Value.String()) == "" {
				return fmt.Errorf("--%s must not be empty; without it, all dead events are replayed", name)
			}
		}
		if opts.ID != "" {
			id, err := uuid.Parse(opts.ID)
			if err != nil {
				return fmt.Errorf("--id must be an event_id, not %q", opts.ID)
			}
			opts.ID = id.String()
		}
		use := app.ReplayAll
		if opts.ID != "" || opts.Reason != "" || opts.NewID || opts.DryRun {
			use = app.ReplaySome
		}
		cfg, queue, log, err := letters(cmd, use)
		if err != nil {
			return err
		}
		opts.Key = app.IdentityKey(cfg, log)
		opts.Progress = progress(cmd.ErrOrStderr())
		var sum summary
		opts.Looked = func(events int) { sum.looked = events }
		err = deadletter.Replay(cmd.Context(), queue, opts, func(r deadletter.Replayed) error {
			what := r.NewID
			switch {
			case r.Left != nil:
				sum.left++
				what = "left: " + r.Left.Error()
			case r.Unproven:
				sum.unproven++
				what = strings.TrimPrefix(r.NewID+"\treplayed, maybe not removed", "\t")
				fallthrough
			default:
				sum.replayed++
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\t%s\t%s\n", orDash(r.EventID), r.Reason, what)
			return err
		})
		if err == nil && sum.chose() == 0 && sum.looked > 0 && (opts.ID != "" || opts.Reason != "") {
			fmt.Fprintf(cmd.ErrOrStderr(), "0 replayed: %s chooses none of the %d dead events there are; dead-letters list shows their ids and reasons\n",
				choice(opts), sum.looked)
			return nil
		}
		fmt.Fprintln(cmd.ErrOrStderr(), sum.text(opts.DryRun, err))
		return err
	}
	return c
}

// summary counts events.
type summary struct{ replayed, unproven, left, looked int }

func (s summary) chose() int { return s.replayed + s.left }

// choice is how events were chosen.
func choice(opts deadletter.ReplayOptions) string {
	var flags []string
	if opts.ID != "" {
		flags = append(flags, "--id "+opts.ID)
	}
	if opts.Reason != "" {
		flags = append(flags, fmt.Sprintf("--reason %q", opts.Reason))
	}
	return strings.Join(flags, " ")
}

func (s summary) text(dryRun bool, err error) string {
	verb := "replayed"
	if dryRun {
		verb = "would be replayed"
	}
	if s.unproven > 0 {
		verb += fmt.Sprintf(", of which %d could not be confirmed removed (run replay again)", s.unproven)
	}
	if err != nil && !errors.Is(err, deadletter.ErrUnproven) { // what was not got to is not counted
		return fmt.Sprintf("%d %s, at least %d left: it did not get through all", s.replayed, verb, s.left)
	}
	return fmt.Sprintf("%d %s, %d left", s.replayed, verb, s.left)
}

// progress says now and then how far a long replay is.
func progress(w io.Writer) func(events int) {
	said := time.Now()
	return func(events int) {
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			fmt.Fprintf(w, "%d so far; they are listed when their letters are known to be gone\n", events)
		}
	}
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
