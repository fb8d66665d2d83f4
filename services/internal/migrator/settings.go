package migrator

import (
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/config/values"
	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/store"
)

// service is the name in the log.
const service = "migrate"

// ownerConn connects the schema's owner to the trail's database.
func ownerConn(cfg *config.Config) (*pgx.ConnConfig, error) {
	return conn(cfg, cfg.Database.Name, cfg.Migrate.User, cfg.Migrate.Password)
}

func rolesConfig(cfg *config.Config) (schema.RolesConfig, error) {
	admin, err := conn(cfg, cfg.Migrate.AdminName, cfg.Migrate.AdminUser, cfg.Migrate.AdminPassword)
	if err != nil {
		return schema.RolesConfig{}, err
	}
	return schema.RolesConfig{
		Admin:    admin,
		Database: cfg.Database.Name,
		Owner:    schema.Login{Name: cfg.Migrate.User, Password: cfg.Migrate.Password.Reveal()},
		Writer:   schema.Login{Name: cfg.Database.User, Password: cfg.Database.Password.Reveal()},
		Reader:   schema.Login{Name: cfg.Migrate.ReaderUser, Password: cfg.Migrate.ReaderPassword.Reveal()},
	}, nil
}

func conn(cfg *config.Config, database, user string, password values.Secret) (*pgx.ConnConfig, error) {
	db := cfg.Database
	return store.Config{
		Host: db.Host, Ports: db.Port.List(), Database: database, User: user, Password: password.Reveal(),
		SSLMode: db.SSLMode, SSLRootCert: db.SSLRootCert, SSLCert: db.SSLCert, SSLKey: db.SSLKey,
		ConnectTimeout: db.ConnectTimeout, ApplicationName: "trailpost-migrate",
	}.ConnConfig()
}
