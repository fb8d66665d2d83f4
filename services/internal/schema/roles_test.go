package schema_test

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/pgident"
	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// ownPostgres starts a server of the test's own: roles are a cluster's.
func ownPostgres(t *testing.T) *devservers.Postgres {
	t.Helper()
	kind, err := devservers.ParseKind("")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := devservers.Open(t.Context(), devservers.Options{Kind: kind})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pair.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := pair.Postgres.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return pair.Postgres
}

func connConfig(t *testing.T, server *devservers.Postgres, database string, l schema.Login) *pgx.ConnConfig {
	t.Helper()
	cc, err := server.ConnConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	cc.User, cc.Password = l.Name, l.Password
	return cc
}

// login tries a connection, and returns PostgreSQL's code of what it says, "" for welcome.
func login(t *testing.T, server *devservers.Postgres, database string, l schema.Login) string {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), connConfig(t, server, database, l))
	if err == nil {
		conn.Close(context.Background())
		return ""
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		t.Fatal(err)
	}
	return pg.Code
}

// TestRoles is the life of a cluster: no roles, made by many at once, passwords changed, by a
// superuser and by an administrator who is none.
func TestRoles(t *testing.T) {
	server := ownPostgres(t)
	super, err := server.ConnConfig("postgres")
	if err != nil {
		t.Fatal(err)
	}
	admin := schema.Login{Name: `it's "the" admin`, Password: "admin's"}
	root, err := server.Connect(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close(context.Background()) })
	exec(t, root, "ALTER SYSTEM SET log_statement = 'all'")
	exec(t, root, "SELECT pg_reload_conf()")

	// Before anything: `up` says what is missing.
	roles, ok := errors.AsType[*schema.RolesError](schema.Up(t.Context(), super))
	if want := "the cluster has no role trailpost_writer and no role trailpost_reader: run `migrate roles` first"; !ok || roles.Error() != want {
		t.Fatalf("up without the roles: %v, want %q", roles, want)
	}

	exec(t, root, "CREATE ROLE "+quote(admin.Name)+" LOGIN CREATEROLE CREATEDB PASSWORD 'admin''s'")
	for _, as := range []struct {
		name  string
		admin *pgx.ConnConfig
	}{
		{"an administrator", connConfig(t, server, "postgres", admin)},
		{"a superuser", super},
	} {
		t.Run(as.name, func(t *testing.T) {
			cfg := schema.RolesConfig{
				Admin: as.admin, Database: as.name + `'s "base"`,
				Owner:  schema.Login{Name: as.name + `'s "owner"`, Password: `p@ss:w/rd?#%&"'\`},
				Writer: schema.Login{Name: as.name + `'s "writer"`, Password: "ünïcode 😀 $tag$ \t"},
				Reader: schema.Login{Name: as.name + `'s "reader"`, Password: "'; DROP DATABASE postgres; --"},
			}
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					if err := schema.Roles(t.Context(), cfg); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if t.Failed() {
				return
			}
			checkRoles(t, server, cfg, admin)

			old := cfg.Writer
			cfg.Writer.Password = "an0ther"
			if err := schema.Roles(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			if code := login(t, server, cfg.Database, old); code != "28P01" {
				t.Errorf("the old password: %q, want 28P01 (invalid_password)", code)
			}
			cfg.Reader.Password = "" // leaves the one that is there
			if err := schema.Roles(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			cfg.Reader.Password = "'; DROP DATABASE postgres; --"
			checkRoles(t, server, cfg, admin)
		})
	}

	log := server.LogSince(devservers.Mark{}, 1_000_000)
	if !strings.Contains(log, "PASSWORD 'SCRAM-SHA-256$4096:") {
		t.Fatal("the server did not log the statements that this test looks through")
	}
	for _, password := range []string{`p@ss:w/rd`, "ünïcode", "DROP DATABASE", "an0ther"} {
		if strings.Contains(log, password) {
			t.Errorf("the server's log has the password %s", password)
		}
	}
}

// checkRoles looks at what Roles has made. The stranger is a login that is none of its roles.
func checkRoles(t *testing.T, server *devservers.Postgres, cfg schema.RolesConfig, stranger schema.Login) {
	t.Helper()
	for _, l := range []schema.Login{cfg.Owner, cfg.Writer, cfg.Reader} {
		if code := login(t, server, cfg.Database, l); code != "" {
			t.Errorf("%s can't log in: %s", l.Name, code)
		}
	}
	if code := login(t, server, cfg.Database, stranger); code != "42501" {
		t.Errorf("another role in the database: %q, want 42501 (insufficient_privilege)", code)
	}
	if err := schema.Up(t.Context(), connConfig(t, server, cfg.Database, cfg.Owner)); err != nil {
		t.Errorf("the owner migrates: %v", err)
	}
	for _, l := range []schema.Login{cfg.Writer, cfg.Reader} {
		conn, err := pgx.ConnectConfig(t.Context(), connConfig(t, server, cfg.Database, l))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		if _, err := conn.Exec(t.Context(), "SELECT count(*) FROM log_events"); err != nil {
			t.Errorf("%s reads: %v", l.Name, err)
		}
		for _, statement := range []string{"SET ROLE " + quote(cfg.Owner.Name), "CREATE TABLE mine ()", "CREATE TEMPORARY TABLE mine ()"} {
			if _, err := conn.Exec(t.Context(), statement); err == nil {
				t.Errorf("%s may %s", l.Name, statement)
			}
		}
	}
	root, err := server.Connect(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close(context.Background())
	var powers, members int
	err = root.QueryRow(t.Context(), `SELECT
		(SELECT count(*) FROM pg_roles WHERE rolname = ANY ($1) AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)),
		(SELECT count(*) FROM pg_roles m WHERE NOT rolsuper AND rolname <> $2 AND pg_has_role(m.oid, $2, 'USAGE'))`,
		[]string{cfg.Owner.Name, cfg.Writer.Name, cfg.Reader.Name}, cfg.Owner.Name).Scan(&powers, &members)
	if err != nil {
		t.Fatal(err)
	}
	if powers != 0 {
		t.Errorf("%d of the roles have an administrator's powers", powers)
	}
	if members != 0 {
		t.Errorf("%d roles have the owner's rights", members)
	}
}

func TestRolesRefuses(t *testing.T) {
	good := schema.RolesConfig{Database: "d", Owner: schema.Login{Name: "o"}, Writer: schema.Login{Name: "w"}, Reader: schema.Login{Name: "r"}}
	for want, change := range map[string]func(*schema.RolesConfig){
		"making the roles: the database has no name\nthe owner has no name": func(c *schema.RolesConfig) { c.Database, c.Owner.Name = "", "" },
		"making the roles: the writer can't be the role o, which is the owner's: each needs its own": func(c *schema.RolesConfig) {
			c.Writer.Name = "o"
		},
		"making the roles: the owner can't be the role trailpost_writer, which is the writer's: each needs its own": func(c *schema.RolesConfig) {
			c.Owner.Name = "trailpost_writer"
		},
		"making the roles: the reader can't be the role trailpost_writer, which is the writer's: each needs its own": func(c *schema.RolesConfig) {
			c.Reader.Name = "trailpost_writer"
		},
	} {
		cfg := good
		change(&cfg)
		if err := schema.Roles(t.Context(), cfg); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// TestRolesGivesNobodyMore: the password that people and services get is never that of a role with
// other rights than theirs, and nobody's is changed before that is clear.
func TestRolesGivesNobodyMore(t *testing.T) {
	server := ownPostgres(t)
	super, err := server.ConnConfig("postgres")
	if err != nil {
		t.Fatal(err)
	}
	root, err := server.Connect(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close(context.Background()) })
	good := schema.RolesConfig{
		Admin: super, Database: "trail",
		Owner: schema.Login{Name: "o", Password: "o"}, Writer: schema.Login{Name: "w", Password: "w"}, Reader: schema.Login{Name: "r", Password: "r"},
	}
	passwords := func() (text string) {
		t.Helper()
		if err := root.QueryRow(t.Context(), "SELECT string_agg(rolname || ' ' || rolpassword, ',' ORDER BY rolname) FROM pg_authid WHERE rolpassword IS NOT NULL OR rolname IN ('o', 'w', 'r')").Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := passwords()
	for name, rights := range map[string]string{"a superuser": "SUPERUSER", "CREATEROLE": "CREATEROLE", "BYPASSRLS": "BYPASSRLS", "REPLICATION": "REPLICATION"} {
		exec(t, root, "CREATE ROLE more LOGIN "+rights)
		for _, change := range []func(*schema.RolesConfig){
			func(c *schema.RolesConfig) { c.Writer.Name = "more" },
			func(c *schema.RolesConfig) { c.Reader.Name = "more" },
		} {
			cfg := good
			change(&cfg)
			if err := schema.Roles(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", rights, err)
			}
		}
		exec(t, root, "DROP ROLE more")
	}
	for name, group := range map[string]string{"is a member of o, which is the owner": "o", "is a member of pg_write_all_data": "pg_write_all_data"} {
		if group == "o" {
			exec(t, root, "CREATE ROLE o")
		}
		exec(t, root, "CREATE ROLE more LOGIN IN ROLE "+group)
		cfg := good
		cfg.Reader.Name = "more"
		if err := schema.Roles(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a member of %s: %v", group, err)
		}
		exec(t, root, "DROP ROLE more")
		if group == "o" {
			exec(t, root, "DROP ROLE o")
		}
	}
	for _, change := range []func(*schema.RolesConfig){
		func(c *schema.RolesConfig) { c.Writer.Name = super.User },
		func(c *schema.RolesConfig) { c.Reader.Name = super.User },
	} {
		cfg := good
		change(&cfg)
		if err := schema.Roles(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "is the administrator") {
			t.Errorf("the administrator: %v", err)
		}
	}
	if passwords() != before {
		t.Error("a refusal has changed a role")
	}
	// The administrator may be the owner, and keeps the password.
	cfg := good
	cfg.Owner.Name = super.User
	if err := schema.Roles(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	if _, own, _ := strings.Cut(before, super.User+" "); own == "" || !strings.Contains(passwords(), own) {
		t.Error("the administrator's password was set")
	}
}

// TestGroupsThatLogIn: the names of the groups, as logins.
func TestGroupsThatLogIn(t *testing.T) {
	server := ownPostgres(t)
	super, err := server.ConnConfig("postgres")
	if err != nil {
		t.Fatal(err)
	}
	cfg := schema.RolesConfig{
		Admin: super, Database: "trail",
		Owner:  schema.Login{Name: "trailpost_owner", Password: "o"},
		Writer: schema.Login{Name: schema.WriterGroup, Password: "w"},
		Reader: schema.Login{Name: schema.ReaderGroup, Password: "r"},
	}
	stranger := schema.Login{Name: "stranger", Password: "s"}
	if err := server.Exec(t.Context(), "postgres", "CREATE ROLE stranger LOGIN PASSWORD 's'"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := schema.Roles(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		checkRoles(t, server, cfg, stranger)
	}
}

// Roles from several maintenance databases at once: an advisory lock is one database's, and roles
// are the cluster's.
func TestRolesFromSeveralDatabases(t *testing.T) {
	var wg sync.WaitGroup
	for range 4 {
		db := testbed.EmptyPostgres(t)
		cfg := schema.RolesConfig{
			Admin: db.ConnConfig(db.Admin), Database: db.Name,
			Owner: schema.Login(db.Owner), Writer: schema.Login(db.Writer), Reader: schema.Login(db.Reader),
		}
		wg.Go(func() {
			for range 20 {
				if err := schema.Roles(t.Context(), cfg); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// TestScramVerifier holds ours against PostgreSQL's own, made of the same password and salt.
func TestScramVerifier(t *testing.T) {
	db := testbed.EmptyPostgres(t)
	admin := db.Connect(t, db.Admin)
	for _, password := range []string{"secret", `p@ss:w/rd?#%&"'\`, " ", "pässwörd", "😀", "a\u00a0b", "tab\t", strings.Repeat("x", 300)} {
		tx, err := admin.Begin(t.Context()) // and never committed: the role is nobody's
		if err != nil {
			t.Fatal(err)
		}
		role := quote(db.Name + "_scram")
		_, err = tx.Exec(t.Context(), "CREATE ROLE "+role+" PASSWORD '"+strings.ReplaceAll(password, "'", "''")+"'")
		if err != nil {
			t.Fatal(err)
		}
		var want string
		if err := tx.QueryRow(t.Context(), "SELECT rolpassword FROM pg_authid WHERE rolname = $1", db.Name+"_scram").Scan(&want); err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(want, ":")
		encoded, _, _ := strings.Cut(rest, "$")
		salt, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		got, err := schema.ScramVerifierWith(password, salt)
		if err != nil || got != want {
			t.Errorf("%q: %s, %v, PostgreSQL has %s", password, got, err, want)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func quote(name string) string { return pgident.Quote(name) }
