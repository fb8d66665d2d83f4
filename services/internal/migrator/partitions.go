package migrator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/cli"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/partitions"
	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/store"
)

// months is the command partitions.
func months() *cobra.Command {
	t := new(trail)
	cmd := &cobra.Command{
		Use:   "partitions",
		Short: "Make the months of the trail ahead of time, and retire old ones into files",
		Long: "Make the months of the trail ahead of time, and retire old ones: detach them, export them, drop them.\n" +
			"All of it is the owner's work, and can be repeated after whatever ended it. docs/retention.md has the details.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().DurationVar(&t.patience, "patience", partitions.DefaultPatience, "how long to try for locks that others hold, giving way to inserts")
	for _, sub := range []*cobra.Command{
		listMonths(t), ensureMonths(t), retireMonths(t), detachMonths(t), attachMonths(t), exportMonths(t), dropMonths(t), verifyExports(t),
	} {
		cmd.AddCommand(cli.Command(sub, config.ForMonths))
	}
	cmd.AddCommand(checkDir())
	return cli.Command(cmd, config.ForMonths)
}

// trail opens the sessions of the subcommands.
type trail struct{ patience time.Duration }

// do runs f on a session of the owner.
func (t *trail) do(cmd *cobra.Command, f func(*partitions.Session) error) (err error) {
	cfg, err := cli.Load(config.ForMonths)
	if err != nil {
		return err
	}
	owner, err := ownerConn(cfg)
	if err != nil {
		return err
	}
	if t.patience <= 0 {
		return errors.New("--patience must be more than 0")
	}
	session, err := partitions.Open(cmd.Context(), owner, partitions.Options{
		Log: cli.Logger(cfg, service), MinAge: partitions.MinAge(cfg.Producer.EventIDMaxAge), Patience: t.patience,
	})
	if err != nil {
		return store.Explain(err)
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	return store.Explain(f(session))
}

func listMonths(t *trail) *cobra.Command {
	var output string
	var exact bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the months: attached, detached, dropped, and the default partition",
		Long: "List the months, oldest first: attached to the trail, detached from it, or dropped and in an export; and the\n" +
			"default partition, which has the events whose month has no table, and should be empty.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return fmt.Errorf("--output must be table or json, not %q", output)
			}
			return t.do(cmd, func(s *partitions.Session) error {
				found, err := s.List(cmd.Context(), exact)
				if err != nil {
					return err
				}
				if output == "json" {
					return printJSON(cmd.OutOrStdout(), found)
				}
				return printTable(cmd.OutOrStdout(), found)
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, or json: an object a line")
	cmd.Flags().BoolVar(&exact, "exact", false, "count the rows, which reads every table, instead of PostgreSQL's estimates")
	return cmd
}

func printJSON(w io.Writer, found []partitions.Partition) error {
	lines := json.NewEncoder(w)
	for _, p := range found {
		if err := lines.Encode(p); err != nil {
			return err
		}
	}
	return nil
}

func printTable(w io.Writer, found []partitions.Partition) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "MONTH\tSTATE\tROWS\tSIZE\tTABLE\tEXPORT")
	for _, p := range found {
		name, file := p.Month.String(), p.Export
		if p.Month.IsZero() {
			name = "-"
		}
		if file == "" {
			file = "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", name, p.State, rowCount(p), size(p.Bytes), p.Table, file)
	}
	return table.Flush()
}

// rowCount marks what is an estimate.
func rowCount(p partitions.Partition) string {
	switch {
	case p.Rows == nil:
		return "?"
	case p.Exact:
		return fmt.Sprint(*p.Rows)
	}
	return fmt.Sprintf("~%d", *p.Rows)
}

func size(bytes int64) string {
	const unit = 1024
	if bytes < unit {
		return fmt.Sprintf("%d B", bytes)
	}
	n, prefix := float64(bytes)/unit, 0
	for ; n >= unit && prefix < 3; prefix++ {
		n /= unit
	}
	return fmt.Sprintf("%.1f %ciB", n, "KMGT"[prefix])
}

func ensureMonths(t *trail) *cobra.Command {
	var ahead int
	cmd := &cobra.Command{
		Use:   "ensure",
		Short: "Make the partitions from last month to some months from now where they are missing",
		Long: "Make the partitions from last month to some months from now where they are missing, and move events of months\n" +
			"that had none out of the default partition; consumers do so every hour, too. Then drop the keys of events that are\n" +
			"older than EVENT_ID_MAX_AGE and a day, and than 31 days, which no sender repeats any more.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ahead < 1 || ahead > 24 {
				return errors.New("--months must be 1 to 24")
			}
			return t.do(cmd, func(s *partitions.Session) error {
				made, err := s.Ensure(cmd.Context(), ahead)
				if err != nil {
					return err
				}
				cmd.PrintErrf("%d partitions made\n", made)
				dropped, err := s.DropEventKeys(cmd.Context())
				if dropped > 0 {
					cmd.PrintErrf("%d event keys dropped\n", dropped)
				}
				return err
			})
		},
	}
	cmd.Flags().IntVar(&ahead, "months", 3, "how many months ahead")
	return cmd
}

func verifyExports(t *trail) *cobra.Command {
	var (
		dir      string
		asked    monthsFlag
		database bool
	)
	cmd := &cobra.Command{
		Use:   "verify --dir DIR",
		Short: "Read exports and hold them against their manifests; needs no database",
		Long: "Read every export in the directory, or those of the months named, and hold each against its manifest. It fails\n" +
			"where one is not what its manifest says, where a file has no manifest or a manifest no file, and where there is no export\n" +
			"at all. It needs no database. With --database, every export that the table retired_months names must be in the\n" +
			"directory, too, and be the one that it names.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !database {
				return verify(cmd, dir, asked, nil)
			}
			return t.do(cmd, func(s *partitions.Session) error {
				retired, err := s.Retirements(cmd.Context())
				if err != nil {
					return err
				}
				return verify(cmd, dir, asked, retired)
			})
		},
	}
	addDir(cmd, &dir)
	addMonths(cmd, &asked)
	cmd.Flags().BoolVar(&database, "database", false, "also look for every export that retired_months names, which needs the database")
	return cmd
}

func verify(cmd *cobra.Command, dir string, months []month.Month, retired []export.Retirement) error {
	bad := 0
	err := export.Verify(dir, months, retired, func(v export.Verified) error {
		if v.Fault != nil {
			bad++
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "FAULT\t%s\t%v\n", v.Manifest, v.Fault)
			return err
		}
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "OK\t%s\t%d rows\n", v.Manifest, v.Rows)
		return err
	})
	if err == nil && bad > 0 {
		err = fmt.Errorf("%d exports are not what they should be", bad)
	}
	return err
}

func checkDir() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "check-dir",
		Short: "Try whether exports can be kept in a directory; needs no database",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return export.CheckDir(dir) },
	}
	addDir(cmd, &dir)
	return cmd
}
