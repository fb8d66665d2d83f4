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

// TestNothingIsDoneWithoutTheStandby: while commits wait for a synchronous standby that is away, nothing that depends on
// them says "done": not a batch that is stored, nor one that is there already, because the wait for it was cancelled.
func TestNothingIsDoneWithoutTheStandby(t *testing.T) {
	servers := testbed.PrivatePostgres(t)
	db := servers.Database(t)
	w, reader, admin := newWriter(t, db), db.Connect(t, db.Reader), db.Connect(t, db.Admin)
	old := newEvents(3)
	store(t, w, false, old...)
	servers.AwaitStandby(t)

	// storeFor is a Store that must not succeed.
	storeFor := func(t *testing.T, limit time.Duration, redelivered bool, events ...event.Event) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		outcomes, err := w.Store(ctx, events, redelivered)
		if !errors.Is(err, context.DeadlineExceeded) || Classify(err) != Transient {
			t.Errorf("%v, %v (class %v), want the deadline", outcomes, err, Classify(err))
		} else if !strings.Contains(err.Error(), "synchronous_standby_names") {
			t.Errorf("%v, which does not say what it may be", err)
		}
	}
	// await does f and then act to its backend, when that waits for the standby.
	await := func(t *testing.T, act string, f func() error) error {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- f() }()
		for deadline := time.Now().Add(30 * time.Second); ; {
			exec(t, admin, "SELECT "+act+"(pid) FROM pg_stat_activity WHERE application_name = 'store test' AND wait_event = 'SyncRep'")
			select {
			case err := <-done:
				return err
			case <-time.After(200 * time.Millisecond): // between two looks
			}
			if time.Now().After(deadline) {
				t.Fatal("still waiting")
			}
		}
	}
	along := func(path Path, events []event.Event) func() error {
		return func() error {
			if err := w.connect(t.Context()); err != nil {
				return err
			}
			w.path = path
			return w.transact(t.Context(), newBatch(events))
		}
	}

	fresh := newEvents(3)
	storeFor(t, time.Second, false, fresh...)
	eventually(t, "PostgreSQL commits when the wait is cancelled", func() bool { return rows(t, reader) == 6 })
	storeFor(t, 2*time.Second, true, fresh...)
	storeFor(t, time.Second, false, fresh...)

	other := slices.Clone(old)
	for i := range other {
		other[i].Payload = []byte(`{"other": true}`)
	}
	for name, f := range map[string]func() error{
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
		"Holds": func() error {
			_, err := Holds(t.Context(), config(db, db.Writer), old[0].ID)
			return err
		},
		"EnsurePartitions": func() error { return EnsurePartitions(t.Context(), config(db, db.Writer)) },
	} {
		if err := await(t, "pg_cancel_backend", f); !errors.Is(err, durable.ErrUnconfirmed) || Classify(err) != Transient {
			t.Errorf("%s, cancelled by somebody: %v (class %v), want %v", name, err, Classify(err), durable.ErrUnconfirmed)
		}
	}
	if err := await(t, "pg_terminate_backend", along(PathCopy, newEvents(3))); err == nil || Classify(err) != Transient {
		t.Errorf("ended by somebody: %v (class %v)", err, Classify(err))
	}

	// synchronous_commit of the role's is no way around it.
	exec(t, admin, "SET synchronous_commit = off")
	exec(t, admin, fmt.Sprintf("ALTER DATABASE %q SET synchronous_commit = local", db.Name))
	if err := w.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	storeFor(t, time.Second, true, fresh...)

	servers.ForgetStandby(t)
	if o := store(t, w, true, fresh...); !all(o, Duplicate) {
		t.Errorf("with nobody to wait for: %v", o)
	}
	if found, err := Holds(t.Context(), config(db, db.Writer), fresh[0].ID); !found || err != nil {
		t.Errorf("Holds: %v, %v", found, err)
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
