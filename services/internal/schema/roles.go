package schema

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// The group roles. What they may do is in the migrations; who belongs to them is made by Roles.
const (
	WriterGroup = "trailpost_writer"
	ReaderGroup = "trailpost_reader"
)

// Login is a role that connects.
type Login struct {
	Name string
	// Password may have any characters. An empty one leaves the role's password alone: it has none,
	// or logs in with a certificate.
	Password string
}

// RolesConfig says what Roles makes.
type RolesConfig struct {
	// Admin connects to the maintenance database (mostly "postgres") as a superuser, or as a role
	// with CREATEROLE and CREATEDB.
	Admin *pgx.ConnConfig
	// Database is created in UTF-8 if it is missing, and then belongs to Owner.
	Database string
	// Owner migrates, Writer is the consumer's, Reader is for people and dashboards.
	Owner, Writer, Reader Login
	Log                   *slog.Logger // is told on whom it waits; nil: nobody is
}

func (cfg RolesConfig) logger() *slog.Logger {
	if cfg.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return cfg.Log
}

// rolesLock lets one Roles work at a time. The number is arbitrary.
const rolesLock = 7161947025408813106

// Roles makes the group roles, the logins and the database where they are missing, sets the
// passwords, and grants what is not a migration's to grant. It can be repeated, by several at once
// too; a repeat changes the passwords.
//
// The owner is a member of nothing, and nobody is a member of the owner: the writer can't become
// it.
func Roles(ctx context.Context, cfg RolesConfig) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("making the roles: %w", err)
		}
	}()
	if err := cfg.validate(); err != nil {
		return err
	}
	conn, err := durable.Connect(ctx, cfg.Admin, durable.Options{})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	a := admin{conn}

	if err := lock(ctx, conn, rolesLock, cfg.logger()); err != nil {
		return err
	}
	if err := a.requireNoMore(ctx, cfg); err != nil {
		return err
	}
	for _, group := range []string{WriterGroup, ReaderGroup} {
		if err := a.makeGroup(ctx, group); err != nil {
			return err
		}
	}
	for _, login := range []Login{cfg.Owner, cfg.Writer, cfg.Reader} {
		if err := a.makeLogin(ctx, login); err != nil {
			return err
		}
	}
	if err := a.join(ctx, cfg.Writer.Name, WriterGroup); err != nil {
		return err
	}
	if err := a.join(ctx, cfg.Reader.Name, ReaderGroup); err != nil {
		return err
	}
	err = a.actAs(ctx, cfg.Owner.Name, func() error {
		if err := a.makeDatabase(ctx, cfg); err != nil {
			return err
		}
		return grantDatabase(ctx, cfg)
	})
	if err != nil {
		return err
	}
	return durable.Sync(ctx, conn)
}

// admin makes roles. Its statements are DDL, which takes no parameters: names are quoted as
// identifiers.
type admin struct{ conn *pgx.Conn }

func (a admin) exec(ctx context.Context, statement string) error {
	return execRetried(ctx, a.conn, statement)
}

// execRetried runs a statement again when another session has changed the same row of a catalog at
// that moment, which PostgreSQL does not wait for. rolesLock holds off only who works from the same
// maintenance database.
func execRetried(ctx context.Context, conn *pgx.Conn, statement string) error {
	const most = 20
	for tried := 1; ; tried++ {
		_, err := conn.Exec(ctx, statement)
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || tried == most ||
			pg.Code != "XX000" || !strings.HasPrefix(pg.Message, "tuple concurrently ") {
			return err
		}
	}
}

func (a admin) ask(ctx context.Context, question string, args ...any) (yes bool, err error) {
	err = a.conn.QueryRow(ctx, question, args...).Scan(&yes)
	return yes, err
}

func (a admin) exists(ctx context.Context, role string) (bool, error) {
	return a.ask(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", role)
}

func (a admin) makeGroup(ctx context.Context, name string) error {
	if exists, err := a.exists(ctx, name); err != nil || exists {
		return err
	}
	return a.exec(ctx, "CREATE ROLE "+pgident.Quote(name)+" NOLOGIN")
}

func (a admin) makeLogin(ctx context.Context, l Login) error {
	exists, err := a.exists(ctx, l.Name)
	if err != nil {
		return err
	}
	statement := "CREATE ROLE " + pgident.Quote(l.Name) + " LOGIN"
	if exists {
		statement = "ALTER ROLE " + pgident.Quote(l.Name) + " LOGIN"
	}
	if me, err := a.ask(ctx, "SELECT current_user = $1", l.Name); err != nil {
		return err
	} else if me { // the administrator's password is not ours to set
		l.Password = ""
	}
	if l.Password != "" {
		verifier, err := scramVerifier(l.Password)
		if err != nil {
			return err
		}
		statement += " PASSWORD '" + verifier + "'" // base64 and digits: nothing to quote
	}
	if err := a.exec(ctx, statement); err != nil {
		return fmt.Errorf("role %s: %w", l.Name, err)
	}
	return nil
}

func (a admin) join(ctx context.Context, member, group string) error {
	if is, err := a.ask(ctx, "SELECT pg_has_role($1, $2, 'USAGE')", member, group); err != nil || is {
		return err
	}
	return a.exec(ctx, "GRANT "+pgident.Quote(group)+" TO "+pgident.Quote(member))
}

// actAs lends the administrator the owner's rights while f runs. A superuser has them anyway; one
// with CREATEROLE and CREATEDB needs them to give a database away and to grant on it, and should
// not keep them.
func (a admin) actAs(ctx context.Context, owner string, f func() error) (err error) {
	if has, err := a.ask(ctx, "SELECT pg_has_role(current_user, $1, 'USAGE')", owner); err != nil {
		return err
	} else if !has {
		if err := a.exec(ctx, "GRANT "+pgident.Quote(owner)+" TO CURRENT_USER"); err != nil {
			return err
		}
		defer func() {
			err = errors.Join(err, a.exec(context.WithoutCancel(ctx), "REVOKE "+pgident.Quote(owner)+" FROM CURRENT_USER"))
		}()
	}
	return f()
}

func (a admin) makeDatabase(ctx context.Context, cfg RolesConfig) error {
	var encoding string
	err := a.conn.QueryRow(ctx, "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = $1", cfg.Database).Scan(&encoding)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		err := a.exec(ctx, "CREATE DATABASE "+pgident.Quote(cfg.Database)+" OWNER "+pgident.Quote(cfg.Owner.Name)+
			" ENCODING 'UTF8' TEMPLATE template0")
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "22023" {
			// The cluster's locale is one of another encoding.
			err = a.exec(ctx, durable.CreateDatabase(cfg.Database)+" OWNER "+pgident.Quote(cfg.Owner.Name))
		}
		return err
	case err != nil:
		return err
	case encoding != "UTF8":
		return fmt.Errorf("%w: %s has the encoding %s, and events are UTF-8: take another name, and `migrate roles` makes it", durable.ErrEncoding, cfg.Database, encoding)
	}
	return nil
}

// grantDatabase lets in the three and no one else, and lets only the owner make tables.
func grantDatabase(ctx context.Context, cfg RolesConfig) error {
	cc := cfg.Admin.Copy()
	cc.Database = cfg.Database
	conn, err := durable.Connect(ctx, cc, durable.Options{})
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))

	db, owner := pgident.Quote(cfg.Database), pgident.Quote(cfg.Owner.Name)
	for _, statement := range []string{
		"REVOKE CONNECT, TEMPORARY ON DATABASE " + db + " FROM PUBLIC",
		"GRANT CONNECT ON DATABASE " + db + " TO " + owner + ", " + pgident.Quote(cfg.Writer.Name) + ", " + pgident.Quote(cfg.Reader.Name),
		"REVOKE CREATE ON SCHEMA public FROM PUBLIC", // up to PostgreSQL 14 anyone could, and upgrades keep it
		"GRANT USAGE, CREATE ON SCHEMA public TO " + owner,
		"GRANT USAGE ON SCHEMA public TO " + WriterGroup + ", " + ReaderGroup,
	} {
		if err := execRetried(ctx, conn, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// requireRoles makes of a missing group role, on which a migration would fail half a page later, a
// sentence.
func requireRoles(ctx context.Context, conn *pgx.Conn) error {
	groups := []string{WriterGroup, ReaderGroup}
	rows, err := conn.Query(ctx, "SELECT rolname FROM pg_roles WHERE rolname = ANY ($1)", groups)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(groups, func(name string) bool { return slices.Contains(found, name) })
	if len(missing) > 0 {
		return &RolesError{Missing: missing}
	}
	return nil
}

func joinNames(names []string) string { return strings.Join(names, " and no role ") }
