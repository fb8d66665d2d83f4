package store

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

func config(db testbed.DB, l testbed.Login) Config {
	return Config{Host: db.Host, Port: db.Port, Database: db.Name, User: l.Name, Password: l.Password,
		ConnectTimeout: 10 * time.Second, ApplicationName: "store test"}
}

func newWriter(t testing.TB, db testbed.DB) *Writer {
	t.Helper()
	w := NewWriter(config(db, db.Writer))
	t.Cleanup(func() {
		if err := w.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w
}

// newEvent makes an event of a session, happening now.
func newEvent(session int64, eventType string) event.Event {
	now := time.Now().UTC().Truncate(time.Microsecond)
	return event.Event{
		ID: uuid.Must(uuid.NewV7()), SessionID: session, Type: eventType,
		Timestamp: now, ReceivedAt: now.Add(time.Millisecond), Payload: []byte(`{"n": 1}`),
	}
}

func newEvents(n int) []event.Event {
	es := make([]event.Event, n)
	for i := range es {
		es[i] = newEvent(int64(1+i%7), "user_action")
		es[i].Payload = fmt.Appendf(nil, `{"n": %d}`, i)
	}
	return es
}

// idAt makes a UUIDv7 of a moment.
func idAt(at time.Time) uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
	return id
}

func shuffled[T any](s []T) []T {
	out := make([]T, len(s))
	for i, j := range rand.Perm(len(s)) {
		out[i] = s[j]
	}
	return out
}

// store is a Store that must not fail.
func store(t *testing.T, w *Writer, redelivered bool, events ...event.Event) []Outcome {
	t.Helper()
	outcomes, err := w.Store(t.Context(), events, redelivered)
	if err != nil {
		t.Fatalf("Store: %v (class %v)", err, Classify(err))
	}
	return outcomes
}

// all says that every outcome is the same.
func all(outcomes []Outcome, want Outcome) bool {
	for _, o := range outcomes {
		if o != want {
			return false
		}
	}
	return true
}

// value reads one value.
func value[T any](t *testing.T, conn *pgx.Conn, query string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

func exec(t *testing.T, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// rows counts the events in the trail.
func rows(t *testing.T, conn *pgx.Conn) int {
	t.Helper()
	return value[int](t, conn, "SELECT count(*) FROM log_events")
}
