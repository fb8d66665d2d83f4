package testbed

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/schema"
)

func TestMain(m *testing.M) { Main(m) }

func TestDatabaseIsMigratedAndTheTestsOwn(t *testing.T) {
	t.Parallel()
	one, other := Postgres(t), Postgres(t)
	owner := one.Connect(t, one.Owner)
	if _, err := owner.Exec(t.Context(), "CREATE TABLE mine (n int)"); err != nil {
		t.Errorf("the owner can't migrate: %v", err)
	}
	if v, err := schema.Version(t.Context(), one.ConnConfig(one.Owner)); err != nil || v != schema.Newest() {
		t.Errorf("version %d, %v", v, err)
	}
	if exists(t, other, "mine") {
		t.Error("one test's table is in another's database")
	}
	reader := one.Connect(t, one.Reader)
	if _, err := reader.Exec(t.Context(), "SELECT FROM log_events"); err != nil {
		t.Errorf("the reader can't read: %v", err)
	}
	if _, err := reader.Exec(t.Context(), "DELETE FROM log_events"); state(err) != "42501" {
		t.Errorf("the reader deletes: %v", err)
	}
	one.Connect(t, one.Writer)
}

func TestEmptyDatabaseHasRolesAndNoSchema(t *testing.T) {
	t.Parallel()
	db := EmptyPostgres(t)
	if exists(t, db, "log_events") {
		t.Error("it has the schema")
	}
	if err := schema.Up(t.Context(), db.ConnConfig(db.Owner)); err != nil {
		t.Errorf("the owner can't migrate it: %v", err)
	}
	db.Connect(t, db.Writer)
	db.Connect(t, db.Reader)
}

// A login of the cluster that is none of the database's own stays outside, of a
// clone, too: a clone does not inherit the template's grants.
func TestDatabaseIsClosedToThePublic(t *testing.T) {
	t.Parallel()
	db := Postgres(t)
	stranger := Login{Name: uniqueName(), Password: "stranger"}
	server := sharedServers(t).Postgres
	if err := server.Exec(t.Context(), "postgres", "CREATE ROLE "+identifier(stranger.Name)+" LOGIN PASSWORD 'stranger'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Exec(context.Background(), "postgres", "DROP ROLE "+identifier(stranger.Name)); err != nil {
			t.Error(err)
		}
	})
	conn, err := pgx.ConnectConfig(t.Context(), db.ConnConfig(stranger))
	if err == nil {
		_ = conn.Close(t.Context())
	}
	if state(err) != "42501" {
		t.Errorf("a stranger connects: %v", err)
	}
}

func TestDatabaseIsDroppedAtTheEnd(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("test", func(t *testing.T) {
		db := Postgres(t)
		name = db.Name
		db.Connect(t, db.Reader) // a session doesn't keep it
	})
	conn, err := sharedServers(t).Postgres.Connect(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_database WHERE datname = $1", name).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d databases, %v", n, err)
	}
}

func TestVhostIsTheTestsOwnAndGoesAtTheEnd(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("test", func(t *testing.T) {
		one, other := Rabbit(t), Rabbit(t)
		url = one.URL()
		ch := channel(t, one.URL())
		if _, err := ch.QueueDeclare("mine", true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := channel(t, other.URL()).QueueDeclarePassive("mine", true, false, false, false, nil); err == nil {
			t.Error("one test's queue is in another's vhost")
		}
		out, err := one.Ctl(t.Context(), "list_queues", "--no-table-headers", "name")
		if err != nil || strings.TrimSpace(string(out)) != "mine" {
			t.Errorf("list_queues: %q, %v", out, err)
		}
		for range handful - 2 { // they are deleted by the handful
			Rabbit(t)
		}
	})
	deadline := time.Now().Add(time.Minute)
	for {
		conn, err := amqp.Dial(url)
		if err != nil {
			return // the vhost is not there
		}
		_ = conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the vhost is still there after a minute")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Several processes share servers, as under `go test ./...`: the template is made
// once, the roles don't collide, and nobody stops what is not theirs.
func TestProcessesShareServers(t *testing.T) {
	if os.Getenv(ServersVariable) != "" {
		// this is one of those processes, or a whole run of them: other tests show it
		return
	}
	kind, err := devservers.ParseKind(os.Getenv(KindVariable))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := devservers.Open(t.Context(), devservers.Options{Kind: kind})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pair.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := pair.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=Own")
			cmd.Env = append(os.Environ(), ServersVariable+"="+pair.StateFile())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	running.Wait()
	if !pair.Postgres.Running() || !pair.Rabbit.Running() {
		t.Error("a process stopped servers that it only shared")
	}
	out, err := pair.Rabbit.Ctl(t.Context(), "--quiet", "list_vhosts", "--no-table-headers")
	if err != nil || strings.TrimSpace(string(out)) != "/" {
		t.Errorf("vhosts that were left: %q, %v", out, err)
	}
}

func exists(t *testing.T, db DB, table string) (yes bool) {
	t.Helper()
	err := db.Connect(t, db.Admin).QueryRow(t.Context(), "SELECT to_regclass($1) IS NOT NULL", table).Scan(&yes)
	if err != nil {
		t.Fatal(err)
	}
	return yes
}

func state(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

func channel(t *testing.T, url string) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}
