package schema_test

import (
	"context"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/devservers"
	"github.com/trailpost/trailpost/services/internal/schema"
)

// operatorCluster is what k8s/ lets CloudNativePG do about roles.
type operatorCluster struct {
	Spec struct {
		Bootstrap struct {
			InitDB struct {
				Database, Owner        string
				PostInitApplicationSQL []string `yaml:"postInitApplicationSQL"`
			} `yaml:"initdb"`
		}
		Managed struct {
			Roles []struct {
				Name    string
				Login   bool
				InRoles []string `yaml:"inRoles"`
			}
		}
	}
}

// TestRolesOfTheOperator: beside CloudNativePG nobody runs Roles. What the operator is told to do
// instead gives each role the same rights.
func TestRolesOfTheOperator(t *testing.T) {
	text, err := os.ReadFile("../../../k8s/base/postgresql/cluster.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cluster operatorCluster
	if err := yaml.Unmarshal(text, &cluster); err != nil {
		t.Fatal(err)
	}
	initdb := cluster.Spec.Bootstrap.InitDB
	server := ownPostgres(t)
	super := connect(t, server, "postgres")
	exec(t, super, "CREATE ROLE exporter LOGIN IN ROLE pg_monitor")
	exec(t, super, "CREATE ROLE stranger LOGIN")

	// In the operator's order: the database with its owner, the statements, then the logins.
	exec(t, super, "CREATE ROLE "+quote(initdb.Owner)+" LOGIN PASSWORD 'secret'")
	exec(t, super, "CREATE DATABASE "+quote(initdb.Database)+" OWNER "+quote(initdb.Owner))
	in := connect(t, server, initdb.Database)
	for _, statement := range initdb.PostInitApplicationSQL {
		exec(t, in, statement)
	}
	var logins []string
	for _, role := range cluster.Spec.Managed.Roles {
		if !role.Login {
			t.Errorf("%s does not log in: make it where the statements are, which come first", role.Name)
		}
		exec(t, super, "CREATE ROLE "+quote(role.Name)+" LOGIN PASSWORD 'secret'")
		for _, group := range role.InRoles {
			exec(t, super, "GRANT "+quote(group)+" TO "+quote(role.Name))
		}
		logins = append(logins, role.Name)
	}
	if len(logins) != 2 {
		t.Fatalf("the operator manages %q, want the writer and the reader", logins)
	}
	owner, writer, reader := initdb.Owner, logins[0], logins[1]
	if err := schema.Up(t.Context(), connConfig(t, server, initdb.Database, schema.Login{Name: owner, Password: "secret"})); err != nil {
		t.Fatal(err)
	}
	roles := []string{owner, writer, reader, "stranger"}
	got := rights(t, in, roles)
	if may := rights(t, in, []string{"exporter"})["exporter"]; !slices.Contains(may, "CONNECT") {
		t.Error("the operator's exporter of metrics may not connect")
	}

	// The same on the same server by Roles.
	admin, err := server.ConnConfig("postgres")
	if err != nil {
		t.Fatal(err)
	}
	login := func(name string) schema.Login { return schema.Login{Name: name, Password: "secret"} }
	const other = "other"
	if err := schema.Roles(t.Context(), schema.RolesConfig{Admin: admin, Database: other, Owner: login(owner), Writer: login(writer), Reader: login(reader)}); err != nil {
		t.Fatal(err)
	}
	if err := schema.Up(t.Context(), connConfig(t, server, other, login(owner))); err != nil {
		t.Fatal(err)
	}
	want := rights(t, connect(t, server, other), roles)
	for _, role := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(got[role], want[role]) {
			t.Errorf("%s may\n%q, want\n%q", role, got[role], want[role])
		}
	}
	if !slices.Contains(want[writer], "log_events some columns INSERT") || slices.Contains(want["stranger"], "CONNECT") {
		t.Errorf("rights that can't be: writer %q, stranger %q", want[writer], want["stranger"])
	}
}

// connect connects until the test's end, as a superuser.
func connect(t *testing.T, server *devservers.Postgres, database string) *pgx.Conn {
	t.Helper()
	conn, err := server.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// rights are what each role may do with the database, its schema and what is in it.
func rights(t *testing.T, conn *pgx.Conn, roles []string) map[string][]string {
	t.Helper()
	may := make(map[string][]string)
	for _, role := range roles {
		rows, err := conn.Query(t.Context(), `
SELECT p FROM unnest('{CONNECT,CREATE,TEMPORARY}'::text[]) p WHERE has_database_privilege($1, current_database(), p)
UNION ALL
SELECT 'schema ' || p FROM unnest('{USAGE,CREATE}'::text[]) p WHERE has_schema_privilege($1, 'public', p)
UNION ALL
SELECT c.relname || ' ' || p FROM pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) p
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND has_table_privilege($1, c.oid, p)
UNION ALL
SELECT c.relname || ' some columns ' || p FROM pg_class c, unnest('{SELECT,INSERT,UPDATE}'::text[]) p
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND has_any_column_privilege($1, c.oid, p)
UNION ALL
SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND has_function_privilege($1, p.oid, 'EXECUTE')
ORDER BY 1`, role)
		if err != nil {
			t.Fatal(err)
		}
		if may[role], err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
	}
	return may
}
