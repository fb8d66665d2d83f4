package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestNothingIsDoneWithoutTheStandby: while commits wait for a synchronous standby that is away,
// nothing that depends on them says "done": not a batch that is stored, nor one that is there
// already, because the wait for it was cancelled.
func TestNothingIsDoneWithoutTheStandby(t *testing.T) {
	servers := testbed.PrivatePostgres(t)
	db := servers.Database(t)
	// Who wants no warnings must not be taken for one to whom nothing was to be said.
	exec(t, db.Connect(t, db.Admin), fmt.Sprintf("ALTER DATABASE %q SET client_min_messages = error", db.Name))
	w, reader, admin := newWriter(t, db), db.Connect(t, db.Reader), db.Connect(t, db.Admin)
	old := newEvents(3)
	store(t, w, false, old...)
	servers.AwaitStandby(t)

	const waiting = "FROM pg_stat_activity WHERE application_name = 'store test' AND wait_event = 'SyncRep'"
	// await does f, and act when that waits for the standby, once or, if that ended another's wait,
	// again.
	await := func(t *testing.T, f func() error, act func()) error {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- f() }()
		for deadline := time.Now().Add(time.Minute); ; {
			if value[bool](t, admin, "SELECT EXISTS (SELECT "+waiting+")") {
				act()
			}
			select {
			case err := <-done:
				return err
			case <-time.After(200 * time.Millisecond): // between two looks
			}
			if time.Now().After(deadline) {
				t.Fatal("it waits for nothing")
			}
		}
	}
	toBackend := func(function string) func() {
		return func() { exec(t, admin, "SELECT "+function+"(pid) "+waiting) }
	}
	// giveUp is a Store that must not succeed, though its time is up only when it waits for the
	// standby.
	giveUp := func(t *testing.T, redelivered bool, events ...event.Event) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		err := await(t, func() error {
			outcomes, err := w.Store(ctx, events, redelivered)
			if outcomes != nil {
				t.Errorf("%v, %v", outcomes, err)
			}
			return err
		}, cancel)
		if errors.Is(err, ErrTooLong) || !errors.Is(err, durable.ErrCommitSent) || !errors.Is(err, context.Canceled) || Classify(err) != Transient || !strings.Contains(err.Error(), "synchronous_standby_names") {
			t.Errorf("%v (class %v), want the time, and what it went by with", err, Classify(err))
		}
		eventually(t, "nothing waits for the standby any more", func() bool {
			return !value[bool](t, admin, "SELECT EXISTS (SELECT "+waiting+")")
		})
	}
	along := func(path Path, events []event.Event) func() error {
		return func() error {
			if err := w.connect(t.Context()); err != nil {
				return err
			}
			w.path = path
			return w.transact(t.Context(), newWritePlan(events, false))
		}
	}

	fresh := newEvents(3)
	giveUp(t, false, fresh...)
	eventually(t, "PostgreSQL commits when the wait is cancelled", func() bool { return rows(t, reader) == 6 })
	giveUp(t, true, fresh...)
	giveUp(t, false, fresh...)

	other := slices.Clone(old)
	for i := range other {
		other[i].Payload = []byte(`{"other": true}`)
	}
	former := slices.Clone(old)
	for i := range former {
		e := &former[i]
		e.PlainID, e.ID = e.ID, idAt(event.IDTime(e.ID))
	}
	for name, f := range map[string]func() error{
		"there, under another id": func() error {
			_, err := w.Store(t.Context(), former, true)
			return err
		},
		"new":                  along(PathCopy, newEvents(3)),
		"there, looked for":    along(PathLook, old),
		"there, not inserted":  along(PathInsert, old),
		"reused, looked for":   along(PathLook, other),
		"half of it there":     along(PathLook, append(newEvents(2), old...)),
		"half of it, inserted": along(PathInsert, append(newEvents(2), old...)),
		"Store": func() error {
			outcomes, err := w.Store(t.Context(), newEvents(3), false)
			if outcomes != nil {
				t.Errorf("%v with an error", outcomes)
			}
			return err
		},
		"HasEvent": func() error {
			_, err := HasEvent(t.Context(), config(db, db.Writer), old[0].ID)
			return err
		},
		"EnsurePartitions": func() error { _, err := EnsurePartitions(t.Context(), config(db, db.Writer)); return err },
	} {
		if err := await(t, f, toBackend("pg_cancel_backend")); !errors.Is(err, durable.ErrUnconfirmed) || Classify(err) != Transient {
			t.Errorf("%s, cancelled by somebody: %v (class %v), want %v", name, err, Classify(err), durable.ErrUnconfirmed)
		}
	}
	if err := await(t, along(PathCopy, newEvents(3)), toBackend("pg_terminate_backend")); err == nil || Classify(err) != Transient {
		t.Errorf("ended by somebody: %v (class %v)", err, Classify(err))
	}

	// synchronous_commit of the role's is no way around it.
	exec(t, admin, "SET synchronous_commit = off")
	exec(t, admin, fmt.Sprintf("ALTER DATABASE %q SET synchronous_commit = local", db.Name))
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	giveUp(t, true, fresh...)

	servers.ForgetStandby(t)
	if o := store(t, w, true, fresh...); !all(o, Duplicate) {
		t.Errorf("with nobody to wait for: %v", o)
	}
	if found, err := HasEvent(t.Context(), config(db, db.Writer), fresh[0].ID); !found || err != nil {
		t.Errorf("HasEvent: %v, %v", found, err)
	}
}

// TestARevokedFunctionIsTrouble that names it.
func TestARevokedFunctionIsTrouble(t *testing.T) {
	db := testbed.Postgres(t)
	w, admin := newWriter(t, db), db.Connect(t, db.Admin)
	e := newEvent(1, "user_action")
	store(t, w, false, e)
	const functions = `DO $$
		DECLARE f regprocedure;
		BEGIN
			FOR f IN SELECT oid FROM pg_proc WHERE proname = 'pg_logical_emit_message' LOOP
				EXECUTE format('%s EXECUTE ON FUNCTION %%s %s PUBLIC', f);
			END LOOP;
		END $$`
	exec(t, admin, fmt.Sprintf(functions, "REVOKE", "FROM"))
	_, err := w.Store(t.Context(), []event.Event{e}, true)
	if Classify(err) != Trouble || SQLState(err) != "42501" || !strings.Contains(err.Error(), "GRANT EXECUTE") {
		t.Errorf("%v (class %v)", err, Classify(err))
	}
	exec(t, admin, fmt.Sprintf(functions, "GRANT", "TO"))
	if o := store(t, w, true, e); !all(o, Duplicate) {
		t.Errorf("after that: %v", o)
	}
}
