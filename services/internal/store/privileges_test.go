package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestTheTrailOnlyGrows: what the consumer's role can't do, tried.
func TestTheTrailOnlyGrows(t *testing.T) {
	db := testbed.Postgres(t)
	store(t, newWriter(t, db), false, newEvents(10)...)
	writer, reader, owner := db.Connect(t, db.Writer), db.Connect(t, db.Reader), db.Connect(t, db.Owner)

	list, err := owner.Query(t.Context(), "SELECT relid::regclass::text FROM pg_partition_tree('log_events') ORDER BY level, relid")
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(list, pgx.RowTo[string])
	if err != nil || len(tables) < 6 {
		t.Fatalf("log_events and its partitions: %v, %v", tables, err)
	}
	var statements []string
	for _, table := range tables {
		statements = append(statements,
			"UPDATE "+table+" SET event_type = 'x'",
			"UPDATE "+table+" SET tx = 1",
			"DELETE FROM "+table,
			"TRUNCATE "+table,
			"SELECT * FROM "+table+" FOR UPDATE",
			"DROP TABLE "+table,
			"ALTER TABLE "+table+" ADD CHECK (true)")
	}
	for _, table := range tables[1:] {
		statements = append(statements, "ALTER TABLE log_events DETACH PARTITION "+table, "INSERT INTO "+table+" DEFAULT VALUES")
	}
	statements = append(statements,
		`SET ROLE "`+db.Owner.Name+`"`,
		`SET SESSION AUTHORIZATION "`+db.Owner.Name+`"`,
		`INSERT INTO log_events (event_id, session_id, event_type, "timestamp", received_at, tx)
			SELECT gen_random_uuid(), 1, 'x', now(), now(), 1`,
		"DELETE FROM review_sessions", "TRUNCATE review_sessions", "UPDATE review_sessions SET session_id = 99",
		"DELETE FROM users", "TRUNCATE users", "UPDATE users SET username = 'x'",
		"UPDATE trail_origin SET system_identifier = 1", "UPDATE trail_origin SET safe_tx = 1", "DELETE FROM trail_origin",
		"SELECT * FROM trail_origin FOR UPDATE", "INSERT INTO trail_epochs VALUES (2, 'x', 0)", "DELETE FROM trail_epochs",
		"SELECT record_epoch()", "SELECT adopt_cluster()",
		"DELETE FROM event_keys", "TRUNCATE event_keys", "UPDATE event_keys SET event_id = event_id", "SELECT drop_event_keys('40 days')",
		"INSERT INTO event_keys (event_key, event_id, kept_at) VALUES ('', gen_random_uuid(), now())",
		"UPDATE schema_migrations SET version = 99",
		"CREATE TABLE mine ()", "CREATE TEMPORARY TABLE mine ()", "SELECT pg_terminate_backend(pg_backend_pid()) FROM pg_authid",
	)
	for _, statement := range statements {
		for name, conn := range map[string]*pgx.Conn{"writer": writer, "reader": reader} {
			if _, err := conn.PgConn().Exec(t.Context(), statement).ReadAll(); SQLState(err) != "42501" {
				t.Errorf("as the %s, %s: %v, want 42501 (insufficient_privilege)", name, statement, err)
			}
		}
	}
	for _, statement := range []string{
		"INSERT INTO users (username) VALUES ('x')", "INSERT INTO review_sessions (session_id, user_id) VALUES (99, 1)",
		"UPDATE review_sessions SET user_id = 1", "SELECT ensure_partitions()",
		`INSERT INTO log_events (event_id, session_id, event_type, "timestamp", received_at) SELECT gen_random_uuid(), 1, 'x', now(), now()`,
	} {
		if _, err := reader.Exec(t.Context(), statement); SQLState(err) != "42501" {
			t.Errorf("as the reader, %s: %v, want 42501 (insufficient_privilege)", statement, err)
		}
	}
	for _, conn := range []*pgx.Conn{writer, reader} {
		for _, table := range []string{"log_events", "log_events_with_user", "review_sessions", "users", "trail_origin", "trail_epochs", "schema_migrations", "event_keys"} {
			exec(t, conn, "SELECT * FROM "+table+" LIMIT 1")
		}
		exec(t, conn, "SELECT default_partition_rows()")
		exec(t, conn, "SELECT note_horizon(), trail_resume(NULL)")
	}
	if n := rows(t, reader); n != 10 {
		t.Errorf("%d rows, want 10", n)
	}
}

// TestDeletingASessionNeverDeletesEvents: not even for the owner, and not through the user.
func TestDeletingASessionNeverDeletesEvents(t *testing.T) {
	db := testbed.Postgres(t)
	store(t, newWriter(t, db), false, newEvent(1, "user_action"))
	owner := db.Connect(t, db.Owner)
	exec(t, owner, "INSERT INTO review_sessions (session_id, user_id) VALUES (2, 1)")
	for _, statement := range []string{
		"DELETE FROM review_sessions", "UPDATE review_sessions SET session_id = 10 * session_id", "DELETE FROM users",
		"TRUNCATE review_sessions", "TRUNCATE review_sessions CASCADE", "TRUNCATE users CASCADE",
		"INSERT INTO review_sessions (session_id, user_id) VALUES (1, 1) ON CONFLICT (session_id) DO UPDATE SET session_id = 3",
	} {
		if _, err := owner.Exec(t.Context(), statement); SQLState(err) != "23503" && SQLState(err) != "23001" {
			t.Errorf("%s: %v, want 23001 (restrict_violation), or a foreign key's 23503", statement, err)
		}
	}
	// A snapshot from before the event's commit would not show it.
	_, err := owner.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM review_sessions WHERE session_id = 2")
	if SQLState(err) != "0A000" {
		t.Errorf("in REPEATABLE READ: %v, want 0A000 (feature_not_supported)", err)
	}
	exec(t, owner, "ROLLBACK")
	// One that no event names may go, and so may all when the trail is empty.
	exec(t, owner, "UPDATE review_sessions SET session_id = 3 WHERE session_id = 2; DELETE FROM review_sessions WHERE session_id = 3")
	exec(t, owner, "DELETE FROM log_events; TRUNCATE review_sessions")
}

func TestCheck(t *testing.T) {
	db := testbed.Postgres(t)
	owner, admin := db.Connect(t, db.Owner), db.Connect(t, db.Admin)
	ctx := t.Context()

	if err := Check(ctx, config(db, db.Writer), false); err != nil {
		t.Errorf("the writer: %v", err)
	}
	for _, allowOwner := range []bool{false, true} {
		err := Check(ctx, config(db, db.Reader), allowOwner)
		if !errors.Is(err, ErrLacksRights) || !strings.Contains(err.Error(), "INSERT on log_events, INSERT on source of log_events, INSERT on event_keys") || Classify(err) != Trouble {
			t.Errorf("the reader: %v, want ErrLacksRights", err)
		}
	}
	for _, login := range []testbed.Login{db.Owner, db.Admin} {
		if err := Check(ctx, config(db, login), false); !errors.Is(err, ErrOwnerRole) {
			t.Errorf("%s: %v, want ErrOwnerRole", login.Name, err)
		}
		if err := Check(ctx, config(db, login), true); err != nil {
			t.Errorf("%s, allowed: %v", login.Name, err)
		}
	}

	// What a table grants, a partition grants, and what one may become.
	partition := value[string](t, owner, "SELECT max(relid::regclass::text) FROM pg_partition_tree('log_events') WHERE isleaf")
	for _, privilege := range []string{
		"UPDATE ON log_events", "DELETE ON log_events", "TRUNCATE ON log_events", "UPDATE (payload) ON log_events",
		"DELETE ON " + partition, "UPDATE (tx) ON " + partition,
	} {
		exec(t, owner, "GRANT "+privilege+" TO trailpost_writer")
		err := Check(ctx, config(db, db.Writer), false)
		if !errors.Is(err, ErrOwnerRole) {
			t.Errorf("with %s: %v, want ErrOwnerRole", privilege, err)
		} else if !strings.Contains(err.Error(), db.Writer.Name) {
			t.Errorf("the message does not name the role: %v", err)
		}
		exec(t, owner, "REVOKE "+privilege+" FROM trailpost_writer")
	}

	// Roles are the cluster's, which other tests use: a login of this test's own.
	login := testbed.Login{Name: db.Name + "_login", Password: "secret"}
	quoted := pgx.Identifier{login.Name}.Sanitize()
	exec(t, admin, "CREATE ROLE "+quoted+" LOGIN NOINHERIT PASSWORD 'secret'")
	exec(t, admin, "GRANT trailpost_writer TO "+quoted)
	exec(t, admin, "GRANT CONNECT ON DATABASE "+pgx.Identifier{db.Name}.Sanitize()+" TO "+quoted)
	t.Cleanup(func() {
		ctx := context.Background()
		admin, err := pgx.ConnectConfig(ctx, db.ConnConfig(db.Admin))
		if err != nil {
			t.Error(err)
			return
		}
		defer admin.Close(ctx)
		for _, s := range []string{"DROP OWNED BY ", "DROP ROLE "} {
			if _, err := admin.Exec(ctx, s+quoted); err != nil {
				t.Error(err)
			}
		}
	})
	exec(t, admin, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+quoted) // NOINHERIT has nothing of its group's
	exec(t, admin, "GRANT EXECUTE ON FUNCTION trail_elsewhere TO "+quoted)
	exec(t, admin, "GRANT INSERT ON ALL TABLES IN SCHEMA public TO "+quoted)
	exec(t, admin, "GRANT UPDATE ON review_sessions TO "+quoted)
	exec(t, admin, "GRANT EXECUTE ON FUNCTION ensure_partitions, note_horizon, analyze_trail, default_partition_rows TO "+quoted)
	if err := Check(ctx, config(db, login), false); err != nil {
		t.Errorf("a login of its own: %v", err)
	}
	exec(t, admin, "GRANT "+pgx.Identifier{db.Owner.Name}.Sanitize()+" TO "+quoted)
	if err := Check(ctx, config(db, login), false); !errors.Is(err, ErrOwnerRole) || !strings.Contains(err.Error(), "can become "+db.Owner.Name) {
		t.Errorf("a member of the owner: %v, want ErrOwnerRole", err)
	}
	exec(t, admin, "REVOKE "+pgx.Identifier{db.Owner.Name}.Sanitize()+" FROM "+quoted)
	exec(t, admin, "ALTER ROLE "+quoted+" CREATEROLE")
	err := Check(ctx, config(db, login), false)
	if old := value[bool](t, admin, "SELECT current_setting('server_version_num')::int < 160000"); errors.Is(err, ErrOwnerRole) != old {
		t.Errorf("with CREATEROLE: %v", err)
	}
}

func TestCheckVersion(t *testing.T) {
	empty := testbed.EmptyPostgres(t)
	if err := Check(t.Context(), config(empty, empty.Writer), false); !errors.Is(err, ErrSchemaOld) || !strings.Contains(err.Error(), "version 0") {
		t.Errorf("an empty database: %v, want ErrSchemaOld that names version 0", err)
	}

	db := testbed.Postgres(t)
	owner := db.Connect(t, db.Owner)
	for _, tc := range []struct {
		version uint
		dirty   bool
		ok      bool
	}{{SchemaVersion - 1, false, false}, {SchemaVersion, false, true}, {SchemaVersion, true, false}, {SchemaVersion + 10, false, true}} {
		exec(t, owner, "UPDATE schema_migrations SET version = $1, dirty = $2", tc.version, tc.dirty)
		err := Check(t.Context(), config(db, db.Writer), false)
		if (err == nil) != tc.ok || !tc.ok && !errors.Is(err, ErrSchemaOld) {
			t.Errorf("version %d, dirty %v: %v", tc.version, tc.dirty, err)
		}
	}
	exec(t, owner, "UPDATE schema_migrations SET version = 3, dirty = false")
	err := Check(t.Context(), config(db, db.Writer), false)
	want := fmt.Sprintf("checking the database: the database's schema is too old: it is at version 3 and this build needs %d; run `migrate up`", SchemaVersion)
	if err == nil || err.Error() != want {
		t.Errorf("message %q, want %q", err, want)
	}
}
