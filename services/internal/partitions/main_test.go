package partitions

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestMain(m *testing.M) {
	if os.Getenv(stepVariable) != "" {
		os.Exit(workUntilKilled())
	}
	testbed.Main(m)
}

// old is a month that may go.
func old(monthsAgo int) month.Month {
	return month.Of(time.Now()).AddMonths(-monthsAgo)
}

// year is an age that the months of old(14) and before have.
const year = 365 * 24 * time.Hour

func open(t *testing.T, db testbed.DB, opts Options) *Session {
	t.Helper()
	if opts.Patience == 0 {
		opts.Patience = 20 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := Open(t.Context(), db.ConnConfig(db.Owner), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// makeMonth makes a month as the consumer would, for an event that came late, and fills it up to so
// many rows.
func makeMonth(t *testing.T, db testbed.DB, m month.Month, rows int) {
	t.Helper()
	owner := db.Connect(t, db.Owner)
	run(t, owner, "INSERT INTO review_sessions (session_id, user_id) SELECT n, 1 FROM generate_series(1, 1000) n ON CONFLICT DO NOTHING")
	fill(t, owner, m, 0, 1)
	testbed.EnsurePartitions(t, owner, 3)
	fill(t, owner, m, 1, rows-1)
	run(t, owner, "ANALYZE "+m.Table())
	if n := value[int](t, owner, "SELECT count(*) FROM "+m.Table()); n != rows {
		t.Fatalf("%s has %d rows, want %d", m.Table(), n, rows)
	}
}

// fill adds events of a month, with payloads that are hard to carry: everything that JSON, SQL and
// text files treat in a way of their own.
func fill(t *testing.T, conn *pgx.Conn, m month.Month, from, count int) {
	t.Helper()
	run(t, conn, fmt.Sprintf(`
		INSERT INTO log_events (event_id, session_id, event_type, username, payload, "timestamp", received_at)
		SELECT (left(event_id_floor('%[1]s'::timestamptz + n * interval '100 milliseconds')::text, 14) || '7' ||
		           lpad(to_hex(n %% 4096), 3, '0') || '-8' || substr(md5(n::text), 1, 3) || '-' || substr(md5(n::text), 4, 12))::uuid,
		       1 + n %% 1000, 'user_action', CASE WHEN n %% 3 > 0 THEN 'user "' || n %% 50 || E'"\\\t' END,
		       jsonb_build_object('n', n, 'text', md5(n::text) || E'\n\\N é 𝄞 \u2028', 'many', jsonb_build_array(1e300, 0.1, null, true, md5(n::text)),
		           'agent', 'VSCode/1.74.0', 'files', n %% 17),
		       '%[1]s'::timestamptz + n * interval '100.001 milliseconds', now()
		  FROM generate_series(%[2]d::bigint, %[3]d) n`, m.Start().Format(time.RFC3339), from, from+count-1))
}

func run(t testing.TB, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func value[T any](t testing.TB, conn *pgx.Conn, query string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// must fails the test on an error.
func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// eventually waits for a condition to come true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) { // between two looks
		if time.Now().After(deadline) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

func writer(t *testing.T, db testbed.DB) *store.Writer {
	t.Helper()
	w := store.NewWriter(store.Config{Host: db.Host, Port: db.Port, Database: db.Name, User: db.Writer.Name, Password: db.Writer.Password,
		ConnectTimeout: 10 * time.Second, ApplicationName: "partitions test"})
	t.Cleanup(func() { _ = w.Close(context.Background()) })
	return w
}

// files lists a directory.
func files(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	for _, e := range must[[]os.DirEntry](t)(os.ReadDir(dir)) {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
