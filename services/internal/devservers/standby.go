package devservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/trailpost/trailpost/services/internal/devservers/engine"
	"github.com/trailpost/trailpost/services/internal/devservers/process"
	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
)

// ErrNotBeside answers [Postgres.Beside] where the servers are containers, or another process's.
var ErrNotBeside = errors.New("only a process's own server of the system's packages has others beside it")

// Beside prepares another server of the same programs, in a folder and on a port of its own. It has
// no data before [Postgres.Restore] or [Postgres.StandBy]. Its name is the application_name under
// which it stands by, which is what synchronous_standby_names names. The settings, such as
// "wal_log_hints = on", are added to its postgresql.conf whenever it gets its data. The caller ends
// it with [Postgres.Discard], before the pair is closed.
func (p *Postgres) Beside(name string, settings ...string) (*Postgres, error) {
	here, ok := p.engine.(*process.Process)
	if !ok || p.attached {
		return nil, ErrNotBeside
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	st := *p.st
	st.Postgres.Port = port
	other := newPostgres(&st)
	other.name = "PostgreSQL " + name
	dir := filepath.Join(st.Data, "postgres-"+strconv.Itoa(port))
	proc := newPostgresProcess(dir, p.bin, port)
	proc.Account, proc.Temporary, proc.Lock = here.Account, here.Temporary, here.Lock
	other.bin, other.data, other.engine = p.bin, dataFolder(dir), proc
	other.beside = &beside{Process: proc, name: name, settings: settings}
	other.prepare = func(context.Context) error {
		if _, err := os.Stat(filepath.Join(other.data, "PG_VERSION")); err != nil {
			return fmt.Errorf("it has no data yet, Restore or StandBy gives it some: %w", err)
		}
		return process.RotateLog(proc.Logs[0])
	}
	return other, process.MkdirPrivate(dir, here.Account)
}

// beside is what only a server beside another has.
type beside struct {
	*process.Process
	name     string
	settings []string
}

// configure adds the settings to what came with the data.
func (p *Postgres) configure() error {
	return appendLines(filepath.Join(p.data, "postgresql.conf"), p.beside.settings...)
}

// follow has p be a standby when it is started, of a server that it reaches by the address.
func (p *Postgres) follow(of *Postgres, address string) error {
	source, err := source(of, address, p.beside.name)
	if err != nil {
		return err
	}
	source += " password='" + confEscape.Replace(of.Superuser.Password) + "'"
	// In this file, which the server itself writes, and for lines that are behind those of the
	// data's origin.
	setting := "primary_conninfo = '" + confEscape.Replace(source) + "'"
	signal := filepath.Join(p.data, "standby.signal")
	return errors.Join(appendLines(filepath.Join(p.data, "postgresql.auto.conf"), setting), statedir.WriteFile(signal, nil, 0o600), p.beside.Account.Own(signal))
}

// confEscape is the rule for values between single quotes, of conninfo and of postgresql.conf.
var confEscape = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

func appendLines(name string, lines ...string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n" + strings.Join(lines, "\n") + "\n")
	return errors.Join(err, f.Close())
}

// run runs one of PostgreSQL's programs as the server's user.
func (b *beside) run(ctx context.Context, l Login, argv ...string) error {
	cmd := b.Command(ctx, argv...)
	cmd.Env = append(cmd.Env, "PGPASSWORD="+l.Password)
	_, err := engine.Run(cmd, "")
	return err
}

// source is how a program of that name reaches a server by an address, host:port.
func source(of *Postgres, address, name string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	return fmt.Sprintf("host=%s port=%s user=%s application_name=%s", host, port, of.Superuser.Name, name), err
}

// Address is host:port.
func (p *Postgres) Address() string { return net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))) }

// Restore replaces p's data by a base backup of another server. Started then, p is a server of its
// own, with what the other one had at the backup's end. p must not run.
func (p *Postgres) Restore(ctx context.Context, of *Postgres) error {
	return p.backup(ctx, of, of.Address())
}

// StandBy is Restore, and has p be a standby of that server when it is started, which it reaches by
// the address: its own, or a proxy's.
func (p *Postgres) StandBy(ctx context.Context, of *Postgres, address string) error {
	if err := p.backup(ctx, of, address); err != nil {
		return err
	}
	return p.follow(of, address)
}

func (p *Postgres) backup(ctx context.Context, of *Postgres, address string) error {
	if p.Running() {
		return fmt.Errorf("%s runs", p.name)
	}
	// Not by the standby's name: under that one, pg_basebackup is itself the synchronous standby
	// that commits wait for, as long as it runs (seen with 15.18).
	source, err := source(of, address, "backup")
	if err != nil {
		return err
	}
	if err := os.RemoveAll(p.data); err != nil {
		return err
	}
	err = p.beside.run(ctx, of.Superuser, filepath.Join(p.bin, "pg_basebackup"), "--pgdata="+p.data, "--dbname="+source,
		"--checkpoint=fast", "--no-sync") // nobody depends on it before it runs
	if err != nil {
		return fmt.Errorf("pg_basebackup: %w", err)
	}
	return p.configure()
}

// Rewind has p, whose server was that one's primary or standby until the two parted, be its standby
// when it is started: pg_rewind takes back what p has and the other has not. p must not run. It
// needs wal_log_hints on both, and p's own WAL back to before they parted: of a server that was
// killed, its own crash recovery removes that unless wal_keep_size keeps it (seen with 15.18:
// "could not find previous WAL record").
func (p *Postgres) Rewind(ctx context.Context, of *Postgres, address string) error {
	if p.Running() {
		return fmt.Errorf("%s runs", p.name)
	}
	source, err := source(of, address, "rewind")
	if err != nil {
		return err
	}
	// Before 16, pg_rewind reads the new timeline from the control file, where a promotion puts it
	// only with its first checkpoint (see its documentation of 15, Notes).
	if err := of.Exec(ctx, "postgres", "CHECKPOINT"); err != nil {
		return err
	}
	err = p.beside.run(ctx, of.Superuser, filepath.Join(p.bin, "pg_rewind"), "--target-pgdata="+p.data,
		"--source-server="+source+" dbname=postgres", "--no-sync")
	if err != nil {
		return fmt.Errorf("pg_rewind: %w", err)
	}
	if err := p.configure(); err != nil {
		return err
	}
	return p.follow(of, address)
}

// Promote ends p's being a standby; when it returns, p takes writes.
func (p *Postgres) Promote(ctx context.Context) error {
	conn, err := p.Connect(ctx, "postgres")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var promoted bool
	if err := conn.QueryRow(ctx, "SELECT pg_promote(true, $1)", int(startTimeout.Seconds())).Scan(&promoted); err != nil {
		return fmt.Errorf("promote: %w", err)
	}
	if !promoted {
		return fmt.Errorf("%s is still a standby after %s", p.name, startTimeout)
	}
	return nil
}

// AwaitSync waits until p's commits wait for the standby of that name: it has all that was
// committed before.
func (p *Postgres) AwaitSync(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("%s is no synchronous standby after %s", name, startTimeout))
	defer cancel()
	conn, err := p.Connect(ctx, "postgres")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		var synchronous bool
		err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_replication
			WHERE application_name = $1 AND state = 'streaming' AND sync_state IN ('sync', 'quorum'))`, name).Scan(&synchronous)
		if synchronous || err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Discard ends a server that was made by [Postgres.Beside], and removes its folder.
func (p *Postgres) Discard(ctx context.Context) error {
	return errors.Join(p.Kill(), p.engine.Discard(ctx))
}
