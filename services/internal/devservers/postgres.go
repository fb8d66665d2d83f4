package devservers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/devservers/engine"
	"github.com/trailpost/trailpost/services/internal/devservers/packages"
	"github.com/trailpost/trailpost/services/internal/devservers/process"
	"github.com/trailpost/trailpost/services/internal/devservers/statedir"
)

// Login is a role, or a user, and its password.
type Login struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// Postgres is a private PostgreSQL server. Start, Stop and Kill are safe for
// concurrent use.
type Postgres struct {
	server
	Host         string
	Port         uint16
	Superuser    Login
	bin          string // folder of its programs, "" when they are in a container
	st           *state
	data         string // its data folder, "" when it is in a container
	writeSecrets writeSecrets
	beside       *beside // nil: one of a pair
}

// DataFolder is where a server from packages keeps its cluster: while it is stopped, it can be
// copied and put back. "" for one in a container.
func (p *Postgres) DataFolder() string { return p.data }

// postgresSettings keep the server small. What costs durability is not among them.
var postgresSettings = []string{
	"max_connections=200",
	"shared_buffers=128MB",
	"max_wal_senders=6", // base backups and standbys; see standby.go
	"wal_level=replica", // what production writes, so that it costs what it costs there
	"jit=off",
	"dynamic_shared_memory_type=mmap", // files in the data folder: a killed server never removes those of /dev/shm
	"log_line_prefix=%m [%p] %q%a %u@%d ",
	"log_checkpoints=off",
	"timezone=UTC",
	"log_timezone=UTC",
}

// postgresArgs is the server's command line but for its program and data folder.
func postgresArgs(listen string, port int) []string {
	args := []string{
		"-c", "listen_addresses=" + listen,
		"-c", "port=" + strconv.Itoa(port),
		"-c", "unix_socket_directories=", // none: their paths are bounded to 107 bytes
	}
	for _, s := range postgresSettings {
		args = append(args, "-c", s)
	}
	return args
}

func newPostgres(s *state) *Postgres {
	p := &Postgres{Host: "127.0.0.1", Port: uint16(s.Postgres.Port), Superuser: Login{"postgres", s.Postgres.Password}, st: s} //nolint:gosec // a port
	p.name = "PostgreSQL"
	p.prepare = func(context.Context) error { return nil }
	p.ready = func(ctx context.Context) error {
		conn, err := p.Connect(ctx, "postgres")
		if err != nil {
			return err
		}
		return conn.Close(ctx)
	}
	return p
}

// postgresProcess makes a PostgreSQL of the system's packages.
func postgresProcess(s *state, temporary string, lock *os.File) (*Postgres, error) {
	acct, err := process.LookupAccount("postgres")
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Data, "postgres")
	data := dataFolder(dir)
	// a newer package must not meet older data
	major, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	bin, err := packages.PostgresBin(strings.TrimSpace(string(major)))
	if err != nil {
		return nil, err
	}
	p := newPostgres(s)
	p.bin, p.data = bin, data
	proc := newPostgresProcess(dir, bin, s.Postgres.Port)
	proc.Account, proc.Temporary, proc.Lock = acct, temporary, lock
	p.engine = proc
	if s.TLS != nil {
		proc.Argv = append(proc.Argv, s.TLS.postgresArgs(dir)...)
	}
	p.writeSecrets = func(_ context.Context, files map[string][]byte) error { return writeTLS(dir, acct, files) }
	p.prepare = func(ctx context.Context) error {
		if err := process.MkdirPrivate(dir, acct); err != nil {
			return err
		}
		if s.TLS != nil {
			files := s.TLS.files()
			files[hbaFile] = s.TLS.postgresHBA()
			if err := writeTLS(dir, acct, files); err != nil {
				return err
			}
		}
		if err := process.RotateLog(proc.Logs[0]); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
			return nil
		}
		return initCluster(ctx, proc, bin, data, p.Superuser, s.Temporary)
	}
	return p, nil
}

// newPostgresProcess is a server in a folder, without who watches and owns it.
func newPostgresProcess(dir, bin string, port int) *process.Process {
	return &process.Process{
		Dir: dir, Env: process.CleanEnv(dir), Logs: []string{filepath.Join(dir, "server.log")},
		Argv:       append([]string{filepath.Join(bin, "postgres"), "-D", dataFolder(dir)}, postgresArgs("127.0.0.1", port)...),
		StopSignal: syscall.SIGINT, // "fast": ends sessions, writes a checkpoint
	}
}

func dataFolder(dir string) string { return filepath.Join(dir, "data") }

// initCluster runs initdb beside the place and moves the result there, so that a
// run that was cut short leaves nothing that looks like a cluster.
func initCluster(ctx context.Context, proc *process.Process, bin, data string, super Login, temporary bool) error {
	fresh := data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	secret := filepath.Join(proc.Dir, "initdb.password")
	if err := statedir.WriteFile(secret, []byte(super.Password+"\n"), 0o600); err != nil {
		return err
	}
	defer os.Remove(secret)
	if err := proc.Account.Own(secret); err != nil {
		return err
	}
	args := []string{
		filepath.Join(bin, "initdb"), "-D", fresh, "--username=" + super.Name, "--pwfile=" + secret,
		"--auth=scram-sha-256", "--encoding=UTF8", "--no-locale",
	}
	if temporary {
		args = append(args, "--no-sync") // this once: nobody depends on it before the server runs
	}
	if _, err := engine.Run(proc.Command(ctx, args...), ""); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	return os.Rename(fresh, data)
}

// DSN is the URL of a database for a login; any character may be in the password. It leaves TLS
// out: where the server insists on it, use ConnConfig.
func (p *Postgres) DSN(database string, l Login) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(l.Name, l.Password),
		Host: p.Host + ":" + strconv.Itoa(int(p.Port)), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return pasteable(u)
}

// pasteable is a URL without the one character of our passwords that net/url leaves
// bare in a user's part, as RFC 3986 allows, and that ends a command in a shell.
func pasteable(u url.URL) string { return strings.ReplaceAll(u.String(), "&", "%26") }

// ConnConfig is the same for pgx; the superuser's.
func (p *Postgres) ConnConfig(database string) (*pgx.ConnConfig, error) {
	return p.LoginConfig(database, p.Superuser)
}

// LoginConfig is the form of a database for a login that pgx takes.
func (p *Postgres) LoginConfig(database string, l Login) (*pgx.ConnConfig, error) {
	cc, err := pgx.ParseConfig(p.DSN(database, l))
	if err != nil || p.st.TLS == nil {
		return cc, err
	}
	cc.TLSConfig, err = p.st.TLS.ownConfig()
	return cc, err
}

// Connect opens a connection to a database as the superuser.
func (p *Postgres) Connect(ctx context.Context, database string) (*pgx.Conn, error) {
	cc, err := p.ConnConfig(database)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cc)
}

// Exec runs one statement in a database as the superuser.
func (p *Postgres) Exec(ctx context.Context, database, sql string, args ...any) error {
	conn, err := p.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql, args...)
	return err
}

// Tool is a line of shell that runs one of PostgreSQL's client programs with the
// arguments "$@" and the PG* variables of the environment.
func (p *Postgres) Tool(name string) string {
	if p.bin == "" {
		return p.engine.ShellLine(name)
	}
	return engine.Quote(filepath.Join(p.bin, name)) + ` "$@"`
}
