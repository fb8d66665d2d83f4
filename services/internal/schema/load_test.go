package schema_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/schema"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/services/internal/testbed/logs"
)

var (
	loadRows   = flag.Int("schema.rows", 50_000, "rows that TestStepsGiveWay migrates")
	loadHold   = flag.Duration("schema.hold", 5*time.Second, "how long a reader holds the trail meanwhile")
	loadReport = flag.String("schema.o", "", "file for its figures")
)

// beforeSources is the version before migration 13.
const beforeSources = 12

// TestStepsGiveWay: a step whose tables others hold keeps no insert waiting for long, says on whom
// it waits, and is done when they are. One that is stopped meanwhile has changed nothing.
//
// `make migration` does it on 10 million rows.
func TestStepsGiveWay(t *testing.T) {
	db := testbed.Postgres(t)
	owns, reader := db.Connect(t, db.Owner), db.Connect(t, db.Reader)
	if err := schema.Down(t.Context(), owner(db), int(schema.Newest())-beforeSources); err != nil {
		t.Fatal(err)
	}
	testbed.EnsurePartitions(t, owns, 24)
	exec(t, owns, "INSERT INTO review_sessions (session_id, user_id) VALUES (1, 1)")
	for n := 0; n < *loadRows; n += 1_000_000 {
		exec(t, owns, fmt.Sprintf(`INSERT INTO log_events (event_id, session_id, event_type, "timestamp", received_at, payload)
			SELECT (left(event_id_floor(now() + n * (interval '700 days' / %d))::text, 14) || '7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
				1, 'user_action', now(), now(), jsonb_build_object('n', n, 'text', repeat('x', 100))
			FROM generate_series(%d, %d) n`, *loadRows, n, min(n+1_000_000, *loadRows)-1))
	}

	exec(t, reader, "BEGIN; SELECT FROM log_events LIMIT 1")
	pid := fmt.Sprintf("pid %d", reader.PgConn().PID())
	up := func(ctx context.Context) (log *logs.Buffer, done chan error) {
		log, done = new(logs.Buffer), make(chan error, 1)
		go func() {
			done <- schema.Up(ctx, owner(db), schema.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
		}()
		return log, done
	}
	ctx, stop := context.WithCancel(t.Context())
	log, done := up(ctx)
	eventually(t, "it says on whom it waits", func() bool { return strings.Contains(log.String(), pid) })
	stop()
	select {
	case err := <-done:
		done <- err
	case <-time.After(time.Minute):
		t.Fatal("it waits for its locks without giving way")
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the step to version %d has changed nothing", beforeSources+1)) {
		t.Errorf("stopped: %v", err)
	}
	if v := version(t, db); v != beforeSources {
		t.Errorf("at version %d, want %d", v, beforeSources)
	}

	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		inserts int
		longest time.Duration
	)
	loaded, unload := context.WithCancel(t.Context())
	defer unload()
	for range 4 {
		conn := db.Connect(t, db.Writer)
		wg.Go(func() {
			for loaded.Err() == nil {
				start := time.Now()
				_, err := conn.Exec(t.Context(), `INSERT INTO log_events (event_id, session_id, event_type, "timestamp", received_at)
					SELECT gen_random_uuid(), 1, 'x', now(), now() FROM generate_series(1, 10)`)
				took := time.Since(start)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inserts++
				longest = max(longest, took)
				mu.Unlock()
			}
		})
	}
	log, done = up(t.Context())
	eventually(t, "it waits again", func() bool { return strings.Contains(log.String(), "giving way meanwhile") })
	began := time.Now()
	time.Sleep(time.Until(began.Add(*loadHold))) // that the reader takes so long is what is tried
	exec(t, reader, "COMMIT")
	if err := <-done; err != nil {
		t.Error(err)
	}
	migrated := time.Since(began)
	unload()
	wg.Wait()
	if longest > 5*time.Second { // five times the second that an insert may wait
		t.Errorf("an insert waited for %v", longest)
	}
	if v := version(t, db); v != schema.Newest() {
		t.Errorf("at version %d, want %d", v, schema.Newest())
	}
	report := fmt.Sprintf("%s, PostgreSQL %s, %d rows: a reader held the trail for %v, it was migrated after %v; of %d inserts the longest took %v\n",
		time.Now().UTC().Format(time.DateOnly), owns.PgConn().ParameterStatus("server_version"), *loadRows, *loadHold,
		migrated.Round(time.Millisecond), inserts, longest.Round(time.Millisecond))
	t.Log(report)
	if *loadReport != "" {
		if err := os.WriteFile(*loadReport, []byte(report), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
