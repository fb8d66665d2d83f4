package migrator

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/cli"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/store"
)

// command is the command line.
func command() *cobra.Command {
	root := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to the schema of this release",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(
		cli.Command(up(), config.ForMigrate),
		cli.Command(down(), config.ForMigrate),
		cli.Command(version(), config.ForMigrate),
		cli.Command(force(), config.ForMigrate),
		cli.Command(roles(), config.ForRoles),
		months(),
	)
	return cli.Command(root, config.ForMigrate|config.ForRoles)
}

func up() *cobra.Command {
	var wait waitFlag
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the migrations that the database lacks",
		Long: "Run the migrations that the database lacks. Any number may do it at once: one works, the others wait for it.\n" +
			"Each migration is one transaction; one that was killed half-way never happened, and the next up does it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := cli.Load(config.ForMigrate)
			if err != nil {
				return err
			}
			log := cli.Logger(cfg, service)
			owner, err := ownerConn(cfg)
			if err != nil {
				return err
			}
			return wait.retry(cmd.Context(), log, func() error {
				return schema.Up(cmd.Context(), owner, schema.WithLogger(log))
			})
		},
	}
	wait.add(cmd)
	return cmd
}

func down() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "down (N | --all)",
		Short: "Take back the last N migrations; the first two hold the trail",
		Long: "Take back the last N migrations, newest first.\n" +
			"Migrations 2 and 1 made the tables: taking them back deletes the trail.",
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) == 1) == all || len(args) > 1 {
				return errors.New("down needs either the number of migrations to take back, or --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			n := 0
			if !all {
				var err error
				if n, err = number("down", args[0], 1); err != nil {
					return err
				}
			}
			cfg, err := cli.Load(config.ForMigrate)
			if err != nil {
				return err
			}
			owner, err := ownerConn(cfg)
			if err != nil {
				return err
			}
			logged := schema.WithLogger(cli.Logger(cfg, service))
			if all {
				return store.Explain(schema.DownAll(cmd.Context(), owner, logged))
			}
			return store.Explain(schema.Down(cmd.Context(), owner, n, logged))
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "take back every migration, and with them the trail")
	return cmd
}

func version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the database's version and the newest that this release knows",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := cli.Load(config.ForMigrate)
			if err != nil {
				return err
			}
			owner, err := ownerConn(cfg)
			if err != nil {
				return err
			}
			v, err := schema.Version(cmd.Context(), owner)
			if err != nil {
				return store.Explain(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "database %d\nnewest %d\n", v, schema.Newest())
			return err
		},
	}
}

func force() *cobra.Command {
	return &cobra.Command{
		Use:   "force N",
		Short: "Record that the database is at version N, and run nothing",
		Long: "Record that the database is at version N (0: without the schema) and not dirty, and run nothing.\n" +
			"Only another tool than this one can leave a database dirty.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("force needs the version that the database is at")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := number("force", args[0], 0)
			if err != nil {
				return err
			}
			cfg, err := cli.Load(config.ForMigrate)
			if err != nil {
				return err
			}
			owner, err := ownerConn(cfg)
			if err != nil {
				return err
			}
			return store.Explain(schema.Force(cmd.Context(), owner, v))
		},
	}
}

func roles() *cobra.Command {
	var wait waitFlag
	cmd := &cobra.Command{
		Use:   "roles",
		Short: "Make the roles and the database, and set the passwords",
		Long: "Make the roles of the owner, the consumer and the reader, and the database, where they are missing; set their\n" +
			"passwords and grants. It needs an administrator, and can be repeated, to change a password, say.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := cli.Load(config.ForRoles)
			if err != nil {
				return err
			}
			rc, err := rolesConfig(cfg)
			if err != nil {
				return err
			}
			log := cli.Logger(cfg, service)
			rc.Log = log
			if err := wait.retry(cmd.Context(), log, func() error { return schema.Roles(cmd.Context(), rc) }); err != nil {
				return err
			}
			log.Info("roles are ready", "database", rc.Database,
				"owner", rc.Owner.Name, "writer", rc.Writer.Name, "reader", rc.Reader.Name)
			return nil
		},
	}
	wait.add(cmd)
	return cmd
}

// number reads an argument that counts.
func number(what, text string, least int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return 0, fmt.Errorf("%s: %q is not a number from %d up", what, text, least)
	}
	return n, nil
}
