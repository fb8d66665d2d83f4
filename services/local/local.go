package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
	"github.com/trailpost/trailpost/services/internal/schema"
)

// local is one run.
type local struct {
	home    string
	kind    devservers.Kind
	environ []string
	out     io.Writer // the banner
	err     io.Writer // progress, and the services' logs
}

// say tells a person what happens.
func (l *local) say(s string) { fmt.Fprintln(l.err, "trailpost:", s) }

// run starts everything, in the order of what needs what, serves until ctx ends or
// something fails, and undoes what it did in reverse, also after half a start.
func (l *local) run(ctx context.Context) (err error) {
	if err := l.checkSettings(); err != nil {
		return err
	}
	lock, err := l.enter(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()

	// an old file would have scripts believe that everything is up
	if err := os.Remove(l.envFile()); err != nil && !os.IsNotExist(err) {
		return err
	}
	pair, err := l.open(ctx)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	defer func() { err = errors.Join(err, pair.Close()) }()
	l.say(fmt.Sprintf("starting PostgreSQL and RabbitMQ (%s)", pair.Kind()))
	began := time.Now()
	if err := l.startAll(ctx, tellEvery, map[string]func(context.Context) error{"PostgreSQL": pair.Postgres.Start, "RabbitMQ": pair.Rabbit.Start}); err != nil {
		return unlessStopped(ctx, err)
	}
	l.say(fmt.Sprintf("both are ready after %.1f s", time.Since(began).Seconds()))
	defer func() {
		if ctx.Err() != nil {
			l.say("stopping PostgreSQL and RabbitMQ")
		}
	}()

	env, err := l.loadOrInit(pair)
	if err != nil {
		return err
	}
	if err := migrate(ctx, pair, env); err != nil {
		return unlessStopped(ctx, err)
	}
	cfg, err := env.load(l)
	if err != nil {
		return err
	}
	return l.serve(ctx, pair, env, cfg)
}

// unlessStopped drops the error of a start that was interrupted: it has one cause.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// enter makes the home and takes it for this process.
func (l *local) enter(ctx context.Context) (lock *os.File, err error) {
	if l.home, err = filepath.Abs(l.home); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.home, 0o755); err != nil {
		return nil, err
	}
	// it holds passwords, and is in somebody's repository more often than not
	if err := statedir.WriteFile(filepath.Join(l.home, ".gitignore"), []byte("*\n"), 0o644); err != nil {
		return nil, err
	}
	return statedir.Lock(ctx, filepath.Join(l.home, "lock"))
}

// open opens the servers of the wanted kind. Each kind has a folder of its own,
// since neither can read the other's data; auto stays with what is there already.
func (l *local) open(ctx context.Context) (*devservers.Pair, error) {
	kind := l.kind
	if kind == devservers.Auto {
		for _, k := range []devservers.Kind{devservers.Packages, devservers.Docker} {
			if _, err := os.Stat(filepath.Join(l.home, string(k))); err == nil {
				kind = k
				break
			}
		}
	}
	kind, err := devservers.Choose(ctx, kind)
	if err != nil {
		return nil, fmt.Errorf("%w\nhack/install-packages installs what is missing", err)
	}
	return devservers.Open(ctx, devservers.Options{Dir: filepath.Join(l.home, string(kind)), Kind: kind, Progress: l.say})
}

// migrate brings roles and schema up to date.
func migrate(ctx context.Context, pair *devservers.Pair, p *environment) error {
	admin, err := pair.Postgres.ConnConfig("postgres")
	if err != nil {
		return err
	}
	err = schema.Roles(ctx, schema.RolesConfig{
		Admin: admin, Database: database,
		Owner: schema.Login(p.Owner), Writer: schema.Login(p.Writer), Reader: schema.Login(p.Reader),
	})
	if err != nil {
		return err
	}
	owner, err := pair.Postgres.ConnConfig(database)
	if err != nil {
		return err
	}
	owner.User, owner.Password = p.Owner.Name, p.Owner.Password
	return schema.Up(ctx, owner)
}

// serve runs the services until ctx ends, or one of them or of the servers does.
// It shows the banner when they are ready.
func (l *local) serve(ctx context.Context, pair *devservers.Pair, p *environment, cfg *config.Config) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for name, server := range map[string]interface {
		Done() <-chan struct{}
		LogSince(devservers.Mark, int) string
	}{"PostgreSQL": pair.Postgres, "RabbitMQ": pair.Rabbit} {
		go func() {
			select {
			case <-server.Done():
				cancel(fmt.Errorf("%s has ended by itself; the end of its log:\n%s", name, server.LogSince(devservers.Mark{}, 20)))
			case <-ctx.Done():
			}
		}()
	}
	ready := func() error {
		if err := writeTools(l.tools(), pair); err != nil {
			return err
		}
		if err := statedir.WriteFile(l.envFile(), []byte(envFile(p.variables(pair), l.tools())), 0o600); err != nil {
			return err
		}
		_, err := io.WriteString(l.out, banner(l.home, dataOf(l.home, pair), p))
		return err
	}
	defer os.Remove(l.envFile()) // what it names is about to be gone
	err := runServices(ctx, cfg, l.err, ready)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return errors.Join(cause, err)
	}
	return err
}

func (l *local) envFile() string { return filepath.Join(l.home, "env") }

func (l *local) tools() string { return filepath.Join(l.home, "bin") }
