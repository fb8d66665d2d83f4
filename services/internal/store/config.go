package store

import (
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Config says where the database is and who asks. Every field may hold any characters.
type Config struct {
	Host     string // a name, an address, or the folder of a Unix socket
	Port     uint16
	Database string
	User     string
	Password string

	// The TLS settings of PostgreSQL's own clients. "" leaves each to their default, which for SSLMode is "prefer".
	SSLMode     string // disable, allow, prefer, require, verify-ca, verify-full
	SSLRootCert string // file of the authorities that sign servers
	SSLCert     string // file of the client's certificate
	SSLKey      string // file of its key

	ConnectTimeout  time.Duration // 0: none
	ApplicationName string        // shown in pg_stat_activity
}

// ConnConfig is the form that pgx takes. It fails when a TLS setting is not valid or its file can't be read.
func (c Config) ConnConfig() (*pgx.ConnConfig, error) {
	var dsn strings.Builder
	for _, kv := range [][2]string{
		{"host", c.Host}, {"dbname", c.Database}, {"user", c.User},
		{"sslmode", c.SSLMode}, {"sslrootcert", c.SSLRootCert}, {"sslcert", c.SSLCert}, {"sslkey", c.SSLKey},
	} {
		if kv[1] != "" {
			fmt.Fprintf(&dsn, "%s='%s' ", kv[0], dsnEscape.Replace(kv[1]))
		}
	}
	if c.Port != 0 {
		fmt.Fprintf(&dsn, "port=%d", c.Port)
	}
	cc, err := pgx.ParseConfig(dsn.String())
	if err != nil {
		return nil, fmt.Errorf("database settings: %w", err)
	}
	// Not through the string, which an error would print.
	if c.Password != "" {
		cc.Password = c.Password
	}
	cc.ConnectTimeout = c.ConnectTimeout
	cc.RuntimeParams["application_name"] = c.ApplicationName
	cc.RuntimeParams["client_encoding"] = "UTF8" // whatever the role's settings say: events are UTF-8
	return cc, nil
}

// dsnEscape is libpq's rule for values between single quotes (PostgreSQL documentation, 34.1.1.1).
var dsnEscape = strings.NewReplacer(`\`, `\\`, `'`, `\'`)
