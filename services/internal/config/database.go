package config

import (
	"slices"
	"strings"

	"github.com/xdg-go/stringprep"
	"golang.org/x/text/secure/precis"

	"github.com/trailpost/trailpost/services/internal/config/values"
)

const maxPostgresName = 63 // NAMEDATALEN - 1; PostgreSQL cuts longer ones silently

func (l *loader) checkDatabase(cfg *Config) {
	l.checkPair("DATABASE_SSLCERT", "DATABASE_SSLKEY")
	hosts := strings.Split(cfg.Database.Host, ",")
	if slices.ContainsFunc(hosts, func(host string) bool { return strings.TrimSpace(host) == "" }) && !l.blamed("DATABASE_HOST") {
		l.blame("DATABASE_HOST", "must be a host, or several with commas between")
	}
	if ports := len(cfg.Database.Port.List()); ports > 1 && ports != len(hosts) && !l.blamed("DATABASE_PORT") {
		l.blame("DATABASE_PORT", "must be one port, or as many as DATABASE_HOST has hosts")
	}
	l.checkPassword("DATABASE_PASSWORD", cfg.Database.Password)
	l.checkPassword("MIGRATE_DATABASE_PASSWORD", cfg.Migrate.Password)
	l.checkPassword("READER_DATABASE_PASSWORD", cfg.Migrate.ReaderPassword)
	l.checkPassword("ADMIN_DATABASE_PASSWORD", cfg.Migrate.AdminPassword)
	for name, value := range map[string]string{
		"DATABASE_NAME":         cfg.Database.Name,
		"DATABASE_USER":         cfg.Database.User,
		"MIGRATE_DATABASE_USER": cfg.Migrate.User,
		"READER_DATABASE_USER":  cfg.Migrate.ReaderUser,
		"ADMIN_DATABASE_USER":   cfg.Migrate.AdminUser,
		"ADMIN_DATABASE_NAME":   cfg.Migrate.AdminName,
	} {
		if len(value) > maxPostgresName {
			l.blame(name, "must be of 1 to 63 bytes")
		}
	}
}

// checkPassword refuses a password for PostgreSQL that its clients prepare in different ways:
// PostgreSQL and libpq by SASLprep (RFC 4013), where ² is 2 and ﬁ is fi, pgx by PRECIS (RFC 8265),
// where they are not. One of them could never log in, whatever the server keeps. Both take a
// password as it is that their profile does not allow.
func (l *loader) checkPassword(name string, password values.Secret) {
	text := password.Reveal()
	prepared, err := stringprep.SASLprep.Prepare(text)
	if err != nil {
		prepared = text
	}
	opaque, err := precis.OpaqueString.String(text)
	if err != nil {
		opaque = text
	}
	if prepared != opaque {
		l.blameSecret(name, "holds a character, such as ², ½, a ligature or a letter of full width, that PostgreSQL's clients do not read alike (SASLprep, PRECIS): "+
			"choose another password")
	}
}
