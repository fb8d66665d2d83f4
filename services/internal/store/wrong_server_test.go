package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestAServerThatOnlyReadsIsLeft: the writer comes back by itself when a server, a database or a
// role takes writes again, whether it met that when it connected or later.
func TestAServerThatOnlyReadsIsLeft(t *testing.T) {
	db := testbed.Postgres(t)
	admin := db.Connect(t, db.Admin)
	readOnly := func(t *testing.T, role, on bool) {
		t.Helper()
		of := fmt.Sprintf("DATABASE %q", db.Name)
		if role {
			of = fmt.Sprintf("ROLE %s IN DATABASE %q", pgx.Identifier{db.Writer.Name}.Sanitize(), db.Name)
		}
		if on {
			exec(t, admin, "ALTER "+of+" SET default_transaction_read_only = on")
		} else {
			exec(t, admin, "ALTER "+of+" RESET default_transaction_read_only")
		}
	}
	w := newWriter(t, db)
	for _, role := range []bool{true, false} {
		readOnly(t, role, true)
		if err := w.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err := w.Store(t.Context(), newEvents(1), false)
			if SQLState(err) != "25006" || Classify(err) != Transient {
				t.Fatalf("%v (class %v), want 25006", err, Classify(err))
			}
			if !strings.Contains(err.Error(), "default_transaction_read_only") || !strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("%v, which does not say who reads only, and why", err)
			}
		}
		_, ensured := EnsurePartitions(t.Context(), config(db, db.Writer))
		for what, err := range map[string]error{
			"EnsurePartitions": ensured,
			"Check":            Check(t.Context(), config(db, db.Writer), false),
		} {
			if SQLState(err) != "25006" || Classify(err) != Transient {
				t.Errorf("%s: %v (class %v), want 25006", what, err, Classify(err))
			}
		}
		readOnly(t, role, false)
		store(t, w, false, newEvents(1)...)
	}

	// A session that began to read only while it lasts, as those do of a server that protects a
	// full disk.
	if _, err := w.conn.Exec(t.Context(), "SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store(t.Context(), newEvents(1), false); SQLState(err) != "25006" {
		t.Errorf("%v, want 25006", err)
	}
	store(t, w, false, newEvents(1)...)
}

// TestWhatAConnectionIsKeptFor: the batch's own errors and other writers', and nothing else.
func TestWhatAConnectionIsKeptFor(t *testing.T) {
	db := testbed.Postgres(t)
	w, owner := newWriter(t, db), db.Connect(t, db.Owner)
	events := newEvents(2)
	store(t, w, false, events...)
	before := w.conn

	bad := newEvents(2)
	bad[1].Payload = []byte(`{"a":`)
	if _, err := w.Store(t.Context(), bad, false); Classify(err) != Rejected {
		t.Fatalf("%v (class %v), want Rejected", err, Classify(err))
	}
	store(t, w, false, append(newEvents(2), events...)...) // 23505, and another way
	if w.conn != before {
		t.Error("a batch's own error cost the connection")
	}

	for name, tc := range map[string]struct{ spoil, mend, state string }{
		// What a pooler in transaction mode does to prepared statements.
		"no statement": {state: "26000"},
		"no table":     {"ALTER TABLE log_events RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO log_events", "42P01"},
		"no right":     {"REVOKE SELECT ON log_events FROM trailpost_writer", "GRANT SELECT ON log_events TO trailpost_writer", "42501"},
	} {
		t.Run(name, func(t *testing.T) {
			store(t, w, true, events...)
			before := w.conn
			if tc.spoil != "" {
				exec(t, owner, tc.spoil)
			} else if _, err := w.conn.PgConn().Exec(t.Context(), "DEALLOCATE ALL").ReadAll(); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Store(t.Context(), events, true); SQLState(err) != tc.state || Classify(err) != Trouble {
				t.Errorf("%v (class %v), want %s", err, Classify(err), tc.state)
			}
			if w.conn != nil || !before.IsClosed() {
				t.Error("the connection was kept")
			}
			if tc.mend != "" {
				exec(t, owner, tc.mend)
			}
			if o := store(t, w, true, events...); !all(o, Duplicate) {
				t.Errorf("after that: %v", o)
			}
		})
	}
}

// TestSeveralHosts: the first that takes writes is used, whatever the others are: nobody, or
// read-only.
func TestSeveralHosts(t *testing.T) {
	db := testbed.Postgres(t)
	other := testbed.PrivatePostgres(t)
	other.EmptyDatabase(t) // its roles
	for _, statement := range []string{"CREATE DATABASE %q", "ALTER DATABASE %q SET default_transaction_read_only = on"} {
		if err := other.Postgres.Exec(t.Context(), "postgres", fmt.Sprintf(statement, db.Name)); err != nil {
			t.Fatal(err)
		}
	}
	cfg := config(db, db.Writer)
	cfg.Host, cfg.Port, cfg.Ports = "nowhere.invalid, 127.0.0.1,127.0.0.1, "+db.Host, 0, []uint16{5432, 1, other.Postgres.Port, db.Port}
	w := NewWriter(cfg)
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	e := newEvent(1, "user_action")
	store(t, w, false, e)
	if found, err := HasEvent(t.Context(), cfg, e.ID); !found || err != nil {
		t.Errorf("HasEvent: %v, %v", found, err)
	}
	host, port := serverOf(w.conn, w.conn.Config())
	if host != "127.0.0.1" || port != int(db.Port) {
		t.Errorf("traces would name %s:%d", host, port)
	}

	cfg.Ports = cfg.Ports[:3]
	if _, err := NewWriter(cfg).Store(t.Context(), []event.Event{e}, false); err == nil || Classify(err) != Trouble {
		t.Errorf("three ports for four hosts: %v (class %v)", err, Classify(err))
	}
	cfg.Host, cfg.Ports = "127.0.0.1,127.0.0.1", []uint16{1, 2}
	_, err := NewWriter(cfg).Store(t.Context(), []event.Event{e}, false)
	if err == nil || Classify(err) != Transient || !strings.Contains(err.Error(), ":1 ") || !strings.Contains(err.Error(), ":2 ") {
		t.Errorf("two hosts that are nobody: %v (class %v)", err, Classify(err))
	}
	if errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
