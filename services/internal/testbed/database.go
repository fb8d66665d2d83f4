package testbed

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/schema"
)

// DB is a database of one test.
type DB struct {
	Host string
	Port uint16
	Name string

	Owner  Login // owns the schema: migrates
	Writer Login // the consumer's: inserts and selects
	Reader Login // selects
	Admin  Login // the server's superuser

	server *PostgresServer
}

// The logins are the cluster's, so all tests share them. Their passwords are
// constants: processes that share servers must agree on them. They hold whatever
// a URL, a shell or a configuration file could trip over.
//
//nolint:gosec // of private servers that last as long as a test
var (
	ownerLogin  = Login{Name: "trailpost_owner_login", Password: `owner p@ss:w/rd?#%&"'+=`}
	writerLogin = Login{Name: "trailpost_writer_login", Password: `writer p@ss:w/rd?#%&"'\`}
	readerLogin = Login{Name: "trailpost_reader_login", Password: `reader p@ss:w/rd?#%&"'$é`}
)

// On is the same database on a copy of its server.
func (db DB) On(server *PostgresServer) DB {
	db.Host, db.Port, db.server = server.Host, server.Port, server
	return db
}

// DSN is the URL of the database for a login.
func (db DB) DSN(l Login) string { return db.server.DSN(db.Name, l) }

// ConnConfig is the same for pgx.
func (db DB) ConnConfig(l Login) *pgx.ConnConfig {
	cc, err := db.server.LoginConfig(db.Name, l)
	if err != nil {
		panic(fmt.Sprintf("testbed: a DSN of our own does not parse: %v", err))
	}
	return cc
}

// Connect opens a connection as a login; it is closed at the end of the test.
func (db DB) Connect(t testing.TB, l Login) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), db.ConnConfig(l))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Postgres makes a migrated database on the shared server, dropped at the end of
// the test.
func Postgres(t testing.TB) DB {
	t.Helper()
	return started(t).Database(t)
}

// EmptyPostgres makes a database without the schema on the shared server, as
// `migrate roles` leaves it: with its roles, owned by the owner. It is dropped at
// the end of the test.
func EmptyPostgres(t testing.TB) DB {
	t.Helper()
	return started(t).EmptyDatabase(t)
}

func started(t testing.TB) *Servers {
	t.Helper()
	s := sharedServers(t)
	start(t, s.Postgres)
	showLog(t, "PostgreSQL", s.Postgres)
	return s
}

// Database makes a migrated database on these servers; see [Postgres].
func (s *Servers) Database(t testing.TB) DB {
	t.Helper()
	source, err := s.template.of(context.Background(), s.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	db := s.newDB()
	if err := s.clone(context.Background(), db.Name, source); err != nil {
		t.Fatal(err)
	}
	s.dropAtEnd(t, db)
	// the trail belongs to the template
	if err := s.Postgres.Exec(context.Background(), db.Name, "SELECT adopt_cluster()"); err != nil {
		t.Fatal(err)
	}
	return db
}

// clone makes a database of the template, with the template's grants on the database itself, which
// PostgreSQL leaves out. Roles and their passwords are the server's, and there since the template is.
func (s *Servers) clone(ctx context.Context, name, source string) error {
	conn, err := s.Postgres.Connect(ctx, "postgres")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	create := "CREATE DATABASE " + identifier(name) + " OWNER " + identifier(ownerLogin.Name) + " TEMPLATE " + identifier(source)
	if _, err := conn.Exec(ctx, create); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "UPDATE pg_database SET datacl = (SELECT datacl FROM pg_database WHERE datname = $1) WHERE datname = $2", source, name)
	return err
}

// EmptyDatabase makes a database without the schema on these servers; see
// [EmptyPostgres].
func (s *Servers) EmptyDatabase(t testing.TB) DB {
	t.Helper()
	db := s.newDB()
	s.dropAtEnd(t, db)
	if err := s.roles(context.Background(), db.Name); err != nil {
		t.Fatal(err)
	}
	return db
}

func (s *Servers) newDB() DB {
	return DB{
		Host: s.Postgres.Host, Port: s.Postgres.Port, Name: uniqueName(),
		Owner: ownerLogin, Writer: writerLogin, Reader: readerLogin, Admin: s.Postgres.Superuser,
		server: s.Postgres,
	}
}

func (s *Servers) roles(ctx context.Context, database string) error {
	return makeRoles(ctx, s.Postgres, database)
}

func makeRoles(ctx context.Context, server *PostgresServer, database string) error {
	admin, err := server.ConnConfig("postgres")
	if err != nil {
		return err
	}
	return schema.Roles(ctx, schema.RolesConfig{
		Admin: admin, Database: database,
		Owner: schema.Login(ownerLogin), Writer: schema.Login(writerLogin), Reader: schema.Login(readerLogin),
	})
}

func (s *Servers) dropAtEnd(t testing.TB, db DB) {
	if s.private {
		return
	}
	t.Cleanup(func() {
		if keep(t) {
			t.Logf("kept the test's database: %s", db.DSN(db.Owner))
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Postgres.Exec(ctx, "postgres", "DROP DATABASE IF EXISTS "+identifier(db.Name)+" WITH (FORCE)"); err != nil {
			t.Errorf("dropping the test's database: %v", err)
		}
	})
}

// uniqueName is a name that no other test of any process uses, and that sorts by
// time.
func uniqueName() string {
	return "test_" + uuid.Must(uuid.NewV7()).String()
}

func identifier(name string) string { return pgx.Identifier{name}.Sanitize() }
