package migrator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/config/values"
	"github.com/trailpost/trailpost/services/internal/partitions"
	"github.com/trailpost/trailpost/services/internal/partitions/attach"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

func retireMonths(t *trail) *cobra.Command {
	var (
		age    ageFlag
		dir    string
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "retire --older-than AGE --dir DIR",
		Short: "Detach, export, verify and drop every month that is wholly older",
		Long: "Detach every month that is wholly older, export it into the directory, read the file back and compare it with\n" +
			"the table, and drop the table; one month after the other, oldest first. Run it again after whatever ended it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.do(cmd, func(s *partitions.Session) error {
				if dryRun {
					return showOlder(cmd, s, age, partitions.Attached, partitions.Detached)
				}
				done, err := s.Retire(cmd.Context(), dir, time.Duration(age))
				cmd.PrintErrf("%d months retired\n", len(done))
				return err
			})
		},
	}
	addAge(cmd, &age)
	addDir(cmd, &dir)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show the months, and change nothing")
	return cmd
}

func detachMonths(t *trail) *cobra.Command {
	var (
		age    ageFlag
		dryRun bool
	)
	cmd := &cobra.Command{
		Use:   "detach --older-than AGE",
		Short: "Take every month that is wholly older out of the trail, into a table of its own",
		Long: "Take every month that is wholly older out of the trail. Its table keeps its name and its rows, and is no part of\n" +
			"log_events any more.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.do(cmd, func(s *partitions.Session) error {
				if dryRun {
					return showOlder(cmd, s, age, partitions.Attached)
				}
				done, err := s.Detach(cmd.Context(), time.Duration(age))
				cmd.PrintErrf("%d months detached\n", len(done))
				return err
			})
		},
	}
	addAge(cmd, &age)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show the months, and change nothing")
	return cmd
}

func attachMonths(t *trail) *cobra.Command {
	var asked monthsFlag
	cmd := &cobra.Command{
		Use:   "attach --month MONTH",
		Short: "Take detached months back into the trail",
		Long: "Take detached months back into the trail, with the events of those months that came meanwhile. Their rows are\n" +
			"checked first, while others read and write. An event that came again meanwhile is dropped as a duplicate; one that\n" +
			"came with an id of the month's own and other content is set aside in the table log_events_conflicts.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.do(cmd, func(s *partitions.Session) error {
				done, err := s.Attach(cmd.Context(), asked...)
				for _, a := range done {
					printAttachment(cmd, a)
				}
				cmd.PrintErrf("%d months attached\n", len(done))
				return err
			})
		},
	}
	addMonths(cmd, &asked)
	require(cmd, "month")
	return cmd
}

// printAttachment says what became of the events that came while a month was detached. The ids go
// where they can be used.
func printAttachment(cmd *cobra.Command, a attach.Attachment) {
	cmd.PrintErrf("%s: %d events that came meanwhile are in it, %d came again and are dropped as duplicates, %d conflict with its own and are set aside in log_events_conflicts\n",
		a.Month, a.Late, a.Duplicates, len(a.Conflicts))
	for _, id := range a.Conflicts {
		fmt.Fprintf(cmd.OutOrStdout(), "CONFLICT\t%s\t%s\n", a.Month, id)
	}
}

// showOlder is what --dry-run shows.
func showOlder(cmd *cobra.Command, s *partitions.Session, age ageFlag, states ...partitions.State) error {
	older, err := s.Older(cmd.Context(), time.Duration(age))
	if err != nil {
		return err
	}
	older = slices.DeleteFunc(older, func(p partitions.Partition) bool { return !slices.Contains(states, p.State) })
	return printTable(cmd.OutOrStdout(), older)
}

func exportMonths(t *trail) *cobra.Command {
	var (
		dir   string
		asked monthsFlag
	)
	cmd := &cobra.Command{
		Use:   "export --dir DIR",
		Short: "Write detached months into files, and compare these with the tables",
		Long: "Write every detached month, or those named, into DIR/TABLE.ndjson.zst with a manifest beside it. The file is on\n" +
			"the disk, has been read back and compared with the table, row by row, before it has its name and its manifest.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return t.do(cmd, func(s *partitions.Session) error {
				done, err := s.Export(cmd.Context(), dir, asked...)
				cmd.PrintErrf("%d months are exported\n", len(done))
				return err
			})
		},
	}
	addDir(cmd, &dir)
	addMonths(cmd, &asked)
	return cmd
}

func dropMonths(t *trail) *cobra.Command {
	var (
		dir     string
		without bool
		asked   monthsFlag
	)
	cmd := &cobra.Command{
		Use:   "drop (--dir DIR [--month MONTH] | --without-export --month MONTH)",
		Short: "Drop detached months that have an export",
		Long: "Drop every detached month, or those named, whose export in the directory has what the table has: the file is read\n" +
			"and compared again first. What was dropped is written to the table retired_months.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case without == (dir != ""):
				return errors.New("drop needs either --dir, where the exports are, or --without-export")
			case without && len(asked) == 0:
				return errors.New("drop --without-export needs --month: name what is to be lost")
			}
			return t.do(cmd, func(s *partitions.Session) (err error) {
				var done []month.Month
				if without {
					done, err = s.DropWithoutExport(cmd.Context(), asked...)
				} else {
					done, err = s.Drop(cmd.Context(), dir, asked...)
				}
				cmd.PrintErrf("%d months dropped\n", len(done))
				return err
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory of the exports")
	cmd.Flags().BoolVar(&without, "without-export", false, "drop the named months though their events are then gone")
	addMonths(cmd, &asked)
	return cmd
}

func addDir(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "dir", "", "directory of the exports")
	require(cmd, "dir")
}

func addAge(cmd *cobra.Command, age *ageFlag) {
	cmd.Flags().Var(age, "older-than", "age of a month's youngest event, such as 400d; at least 31d")
	require(cmd, "older-than")
}

func addMonths(cmd *cobra.Command, asked *monthsFlag) {
	cmd.Flags().Var(asked, "month", "month, such as 2025-09; can be repeated (default all)")
}

func require(cmd *cobra.Command, flag string) {
	if err := cmd.MarkFlagRequired(flag); err != nil {
		panic(fmt.Sprintf("migrate: %v", err))
	}
}

// ageFlag is --older-than.
type ageFlag time.Duration

// String implements pflag.Value.
func (a *ageFlag) String() string {
	if *a == 0 {
		return ""
	}
	return time.Duration(*a).String()
}

// Set implements pflag.Value.
func (a *ageFlag) Set(text string) error {
	age, err := values.ParseDuration(text)
	*a = ageFlag(age)
	return err
}

// Type implements pflag.Value.
func (*ageFlag) Type() string { return "age" }

// monthsFlag is --month.
type monthsFlag []month.Month

// String implements pflag.Value.
func (m *monthsFlag) String() string {
	names := make([]string, len(*m))
	for i, one := range *m {
		names[i] = one.String()
	}
	return strings.Join(names, ",")
}

// Set implements pflag.Value.
func (m *monthsFlag) Set(text string) error {
	one, err := month.Parse(text)
	if err == nil && !slices.Contains(*m, one) {
		*m = append(*m, one)
	}
	return err
}

// Type implements pflag.Value.
func (*monthsFlag) Type() string { return "month" }
