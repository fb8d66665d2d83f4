package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestClassify(t *testing.T) {
	state := func(code, constraint string) error {
		return fmt.Errorf("storing: %w", &pgconn.PgError{Code: code, ConstraintName: constraint})
	}
	for want, errs := range map[Class][]error{
		Transient: {
			state("08006", ""), state("08P01", ""), state("40001", ""), state("40P01", ""), state("53100", ""), state("53300", ""),
			state("55P03", ""), state("57014", ""), state("57P01", ""), state("57P03", ""), state("58030", ""), state("25006", ""),
			context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, errVanished,
			&net.OpError{Op: "read", Err: errors.New("connection reset")}, &net.DNSError{},
			&pgconn.PgError{Code: "23514", TableName: "log_events_default"},
		},
		Rejected: {
			state("22001", ""), state("22P02", ""), state("22P05", ""), state("22021", ""), state("22008", ""), state("23502", ""),
			state("23514", "log_events_payload_check"), state("54000", ""), state("54001", ""),
		},
		Trouble: {
			state("42P01", ""), state("42501", ""), state("28P01", ""), state("3D000", ""), state("23503", "log_events_session_id_fkey"),
			state("23514", ""), state("23505", "log_events_pkey"), state("XX000", ""), state("P0001", ""), state("22P03", ""), state("22P04", ""),
			&pgconn.PgError{Code: "23514", TableName: "log_events"}, &pgconn.ParseConfigError{},
			state("0A000", ""), state("25P02", ""), state("", ""), errors.New("anything else"), ErrSchemaOld, ErrOwnerRole,
		},
	} {
		for _, err := range errs {
			if got := Classify(err); got != want {
				t.Errorf("Classify(%v, SQLSTATE %q) = %v, want %v", err, SQLState(err), got, want)
			}
		}
	}
}

// TestRejectedEvents: what no column takes is rejected, and its neighbours are stored when they
// come without it.
func TestRejectedEvents(t *testing.T) {
	db := testbed.Postgres(t)
	w, reader, owner := newWriter(t, db), db.Connect(t, db.Reader), db.Connect(t, db.Owner)
	exec(t, owner, "ALTER TABLE log_events ADD CONSTRAINT no_rejected CHECK (NOT payload ? 'rejected')")

	for name, spoil := range map[string]func(*event.Event){
		"no JSON":            func(e *event.Event) { e.Payload = []byte(`{"a":`) },
		"no payload":         func(e *event.Event) { e.Payload = nil },
		"no object":          func(e *event.Event) { e.Payload = []byte(`[]`) },
		"NUL in JSON":        func(e *event.Event) { e.Payload = []byte(`{"a":"\u0000"}`) },
		"lone surrogate":     func(e *event.Event) { e.Payload = []byte(`{"a":"\ud800"}`) },
		"bad UTF-8":          func(e *event.Event) { e.Payload = []byte("{\"a\":\"\xff\"}") },
		"number too large":   func(e *event.Event) { e.Payload = []byte(`{"a":1e999999}`) },
		"too deep":           func(e *event.Event) { e.Payload = []byte(strings.Repeat(`{"a":`, 100_000)) },
		"NUL in a type":      func(e *event.Event) { e.Type = "a\x00b" },
		"bad UTF-8 in type":  func(e *event.Event) { e.Type = "a\xff" },
		"no type":            func(e *event.Event) { e.Type = "" },
		"type too long":      func(e *event.Event) { e.Type = strings.Repeat("x", 101) },
		"username too long":  func(e *event.Event) { e.Username = strings.Repeat("x", 256) },
		"session of nothing": func(e *event.Event) { e.SessionID = 0 },
		"year too large":     func(e *event.Event) { e.Timestamp = time.Date(294_277, 2, 1, 0, 0, 0, 0, time.UTC) },
		"a check":            func(e *event.Event) { e.Payload = []byte(`{"rejected": true}`) },
	} {
		t.Run(name, func(t *testing.T) {
			before := rows(t, reader)
			events := newEvents(20)
			spoil(&events[7])
			for _, redelivered := range []bool{false, true} {
				outcomes, err := w.Store(t.Context(), events, redelivered)
				if Classify(err) != Rejected || err == nil || outcomes != nil {
					t.Fatalf("redelivered %v: %v, %v (class %v), want class Rejected", redelivered, outcomes, err, Classify(err))
				}
			}
			if n := rows(t, reader); n != before {
				t.Errorf("a batch that failed left %d rows", n-before)
			}
			if o := store(t, w, false, append(events[:7:7], events[8:]...)...); !all(o, Stored) {
				t.Errorf("without it: %v", o)
			}
		})
	}
}

// TestNoDefaultPartition: "no partition" has the SQLSTATE of a check, but the events are not at
// fault.
func TestNoDefaultPartition(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	exec(t, owner, "ALTER TABLE log_events DETACH PARTITION log_events_default")
	e := newEvent(1, "user_action")
	e.ID = idAt(time.Now().AddDate(5, 0, 0))
	if _, err := w.Store(t.Context(), []event.Event{e}, false); SQLState(err) != "23514" || Classify(err) != Trouble {
		t.Errorf("%v (class %v), want 23514 and Trouble", err, Classify(err))
	}
	exec(t, owner, "ALTER TABLE log_events ATTACH PARTITION log_events_default DEFAULT")
	store(t, w, false, e)
}

// TestASessionThatIsDeletedInBetween is made anew.
func TestASessionThatIsDeletedInBetween(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	exec(t, owner, "INSERT INTO review_sessions (session_id, user_id) VALUES (1, 1)")
	// Deleted and not committed: the session can be seen, and who would keep it waits.
	tx, err := owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "DELETE FROM review_sessions"); err != nil {
		t.Fatal(err)
	}
	e := newEvent(1, "user_action")
	done := make(chan error)
	go func() {
		_, err := w.Store(t.Context(), []event.Event{e}, false)
		done <- err
	}()
	admin := db.Connect(t, db.Admin)
	eventually(t, "the writer waits", func() bool {
		return value[bool](t, admin, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted)")
	})
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := value[int](t, admin, "SELECT count(*) FROM log_events JOIN review_sessions USING (session_id)"); n != 1 {
		t.Errorf("%d events with their session, want 1", n)
	}
}

// TestKilledSession: the server ends the connection between batches and within one.
func TestKilledSession(t *testing.T) {
	db := testbed.Postgres(t)
	w, admin := newWriter(t, db), db.Connect(t, db.Admin)
	store(t, w, false, newEvent(1, "user_action"))
	const kill = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'store test'"

	exec(t, admin, kill)
	e := newEvent(1, "user_action")
	if _, err := w.Store(t.Context(), []event.Event{e}, false); err == nil || Classify(err) != Transient {
		t.Errorf("on a connection that the server ended: %v (class %v), want Transient", err, Classify(err))
	}
	if o := store(t, w, false, e); !all(o, Stored) {
		t.Errorf("after that: %v", o)
	}

	// Within: the batch waits for a lock of ours.
	owner := db.Connect(t, db.Owner)
	tx, err := owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE log_events"); err != nil {
		t.Fatal(err)
	}
	e = newEvent(1, "user_action")
	done := make(chan error)
	go func() {
		_, err := w.Store(t.Context(), []event.Event{e}, false)
		done <- err
	}()
	eventually(t, "the writer waits", func() bool {
		return value[bool](t, admin, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'store test' AND wait_event_type = 'Lock')")
	})
	exec(t, admin, kill)
	if err := <-done; err == nil || Classify(err) != Transient {
		t.Errorf("killed within a batch: %v (class %v), want Transient", err, Classify(err))
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := store(t, w, true, e); !all(o, Stored) {
		t.Errorf("after that: %v", o)
	}
}

// TestCancelledStore: the caller's deadline ends a batch that waits, and the next goes on a new
// connection.
func TestCancelledStore(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	store(t, w, false, newEvent(1, "user_action"))
	tx, err := owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE log_events"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	e := newEvent(1, "user_action")
	if _, err := w.Store(ctx, []event.Event{e}, false); !errors.Is(err, context.DeadlineExceeded) || Classify(err) != Transient {
		t.Errorf("%v (class %v), want the deadline", err, Classify(err))
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	store(t, w, true, e)
}

func TestWhatConnectingSays(t *testing.T) {
	db := testbed.Postgres(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	for name, tc := range map[string]struct {
		change func(*Config)
		want   Class
	}{
		"nobody listens":  {func(c *Config) { c.Host, c.Port = "127.0.0.1", uint16(closed) }, Transient},
		"no such host":    {func(c *Config) { c.Host = "nowhere.invalid" }, Transient},
		"wrong password":  {func(c *Config) { c.Password = `not it'"` }, Trouble},
		"no such role":    {func(c *Config) { c.User = "nobody" }, Trouble},
		"no such base":    {func(c *Config) { c.Database = "nothing" }, Trouble},
		"bad TLS setting": {func(c *Config) { c.SSLMode = "perhaps" }, Trouble},
		"no such CA file": {func(c *Config) { c.SSLMode, c.SSLRootCert = "verify-full", "/nowhere/ca.pem" }, Trouble},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(db, db.Writer)
			tc.change(&cfg)
			_, err := NewWriter(cfg).Store(t.Context(), newEvents(1), false)
			if err == nil || Classify(err) != tc.want {
				t.Errorf("%v: class %v, want %v", err, Classify(err), tc.want)
			}
			if err != nil && strings.Contains(err.Error(), cfg.Password) {
				t.Errorf("the message shows the password: %v", err)
			}
		})
	}
}

// TestDurable: a server or a role with synchronous_commit off does not make an acknowledged event
// forgettable.
func TestDurable(t *testing.T) {
	db := testbed.Postgres(t)
	admin := db.Connect(t, db.Admin)
	for setting, want := range map[string]string{"off": "on", "local": "on", "on": "on", "remote_apply": "remote_apply"} {
		exec(t, admin, fmt.Sprintf("ALTER DATABASE %q SET synchronous_commit = %s", db.Name, setting))
		w := newWriter(t, db)
		store(t, w, false, newEvent(1, "user_action"))
		if got := value[string](t, w.conn, "SHOW synchronous_commit"); got != want {
			t.Errorf("with %s it is %s, want %s", setting, got, want)
		}
	}
}

func TestConnConfigTakesAnyCharacter(t *testing.T) {
	const odd = `o'd d\ "=?#%&/@:` + "\tü😀"
	c := Config{Host: "/tmp/with space/it's", Port: 6543, Database: odd, User: odd, Password: odd, SSLMode: "disable", ApplicationName: odd}
	cc, err := c.ConnConfig()
	if err != nil {
		t.Fatal(err)
	}
	if cc.Host != c.Host || cc.Port != 6543 || cc.Database != odd || cc.User != odd || cc.Password != odd || cc.RuntimeParams["application_name"] != odd {
		t.Errorf("%+v", cc)
	}
}
