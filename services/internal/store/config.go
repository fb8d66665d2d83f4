package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
)

// Config says where the database is and who asks. Every field may hold any characters.
type Config struct {
	// Host is a name, an address, or the folder of a Unix socket; or several, with commas between:
	// the first that takes writes is used.
	Host     string
	Port     uint16   // 0: PostgreSQL's default
	Ports    []uint16 // instead of Port: one, or one for each of several hosts
	Database string
	User     string
	Password string

	// The TLS settings of PostgreSQL's own clients. "" means their default, which for SSLMode is
	// "prefer".
	SSLMode     string // disable, allow, prefer, require, verify-ca, verify-full
	SSLRootCert string // file of the authorities that sign servers' certificates
	SSLCert     string // file of the client's certificate
	SSLKey      string // file of its key

	ConnectTimeout  time.Duration // 0: none
	ApplicationName string        // shown in pg_stat_activity
}

// ConnConfig returns the settings in the form that pgx takes. It fails when a TLS setting is not
// valid or its file can't be read.
func (c Config) ConnConfig() (*pgx.ConnConfig, error) {
	var dsn strings.Builder
	for _, kv := range [][2]string{
		{"host", c.hosts()}, {"port", c.ports()}, {"dbname", c.Database}, {"user", c.User},
		{"sslmode", c.SSLMode}, {"sslrootcert", c.SSLRootCert}, {"sslcert", c.SSLCert}, {"sslkey", c.SSLKey},
	} {
		if kv[1] != "" {
			fmt.Fprintf(&dsn, "%s='%s' ", kv[0], dsnEscape.Replace(kv[1]))
		}
	}
	cc, err := pgx.ParseConfig(dsn.String())
	if err != nil {
		return nil, fmt.Errorf("database settings: %w", err)
	}
	// Set here, since an error would print the string above.
	if c.Password != "" {
		cc.Password = c.Password
	}
	cc.ConnectTimeout = c.ConnectTimeout
	cc.RuntimeParams["application_name"] = c.ApplicationName
	cc.RuntimeParams["client_encoding"] = "UTF8" // whatever the role's settings say: events are UTF-8
	return cc, nil
}

// hosts returns Host in the form of libpq, to which a space would be part of a name.
func (c Config) hosts() string {
	list := strings.Split(c.Host, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return strings.Join(list, ",")
}

func (c Config) ports() string {
	if len(c.Ports) == 0 {
		if c.Port == 0 {
			return ""
		}
		return strconv.Itoa(int(c.Port))
	}
	list := make([]string, len(c.Ports))
	for i, port := range c.Ports {
		list[i] = strconv.Itoa(int(port))
	}
	return strings.Join(list, ",")
}

// dsnEscape follows libpq's rule for values between single quotes (PostgreSQL documentation,
// 34.1.1.1).
var dsnEscape = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// withConn calls f with a connection that is closed afterwards.
func withConn(ctx context.Context, cfg Config, f func(*pgx.Conn) error) error {
	conn, err := dial(ctx, cfg, "")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return f(conn)
}

// withAdoptedConn is withConn for what must not be done before the trail belongs to this database:
// until then it returns ErrRestored.
func withAdoptedConn(ctx context.Context, cfg Config, f func(*pgx.Conn) error) error {
	return withConn(ctx, cfg, func(conn *pgx.Conn) error {
		if err := checkOrigin(ctx, conn); err != nil {
			return err
		}
		return f(conn)
	})
}

// dial connects. The certificate files are read each time, since they are renewed while a process
// runs.
func dial(ctx context.Context, cfg Config, settings string) (*pgx.Conn, error) {
	cc, err := cfg.ConnConfig()
	if err != nil {
		return nil, err
	}
	cc.Tracer = statementTracer{}
	conn, err := durable.Connect(ctx, cc, durable.Options{Settings: settings})
	return conn, Explain(err)
}
