package store

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// estimate is how many rows PostgreSQL expects.
func estimate(t *testing.T, conn *pgx.Conn, query string) int {
	t.Helper()
	var first string
	if err := conn.QueryRow(t.Context(), "EXPLAIN "+query).Scan(&first); err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`rows=(\d+)`).FindStringSubmatch(first)
	if found == nil {
		t.Fatalf("no number of rows in %q", first)
	}
	n, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestAnalyze: people's queries of the trail as a whole are planned by what is in it.
func TestAnalyze(t *testing.T) {
	db := testbed.Postgres(t)
	owner := db.Connect(t, db.Owner)
	const sessions = 5000
	exec(t, owner, fmt.Sprintf("INSERT INTO review_sessions (session_id, user_id) SELECT n, 1 FROM generate_series(1, %d) n", sessions))
	for month := range 3 {
		exec(t, owner, fmt.Sprintf(`
			INSERT INTO log_events (event_id, session_id, event_type, payload, "timestamp", received_at)
			SELECT event_id_floor(date_trunc('month', now()) + interval '%d month' + n * interval '1 minute'), 1 + n %% %d, 'user_action', '{}', now(), now()
			  FROM generate_series(1, 10000) n`, month-1, sessions))
	}
	const groups = "SELECT session_id FROM log_events GROUP BY session_id"
	for _, partition := range []int{-1, 0, 1} { // as autovacuum does
		exec(t, owner, "ANALYZE "+partitionName(monthStart(time.Now()).AddDate(0, partition, 0)))
	}
	if n := estimate(t, owner, groups); n != 200 {
		t.Errorf("before, PostgreSQL expects %d groups: is there anything to do?", n)
	}
	analyze := func(again bool, want bool) {
		t.Helper()
		done, err := Analyze(t.Context(), config(db, db.Writer), again, time.Minute)
		if err != nil || done != want {
			t.Errorf("again: %v; done: %v, %v", again, done, err)
		}
	}
	analyze(false, true)
	if n := estimate(t, owner, groups); n < sessions/2 || n > 2*sessions {
		t.Errorf("PostgreSQL expects %d groups, and there are %d", n, sessions)
	}
	eventually(t, "within a day it is not done again", func() bool {
		done, err := Analyze(t.Context(), config(db, db.Writer), false, time.Minute)
		return err == nil && !done
	})
	analyze(true, true)

	// Somebody who changes partitions, or autovacuum at one of them, is not waited for.
	other := db.Connect(t, db.Owner)
	exec(t, other, "BEGIN; LOCK TABLE ONLY log_events IN SHARE UPDATE EXCLUSIVE MODE")
	analyze(true, false)
	exec(t, other, "ROLLBACK; BEGIN; LOCK TABLE "+partitionName(monthStart(time.Now()))+" IN SHARE UPDATE EXCLUSIVE MODE")
	analyze(true, true)
	exec(t, other, "ROLLBACK")

	// It is bounded, and says so.
	if _, err := Analyze(t.Context(), config(db, db.Writer), true, time.Millisecond); SQLState(err) != "57014" || !strings.Contains(err.Error(), "analyzing the trail") {
		t.Errorf("within a millisecond: %v", err)
	}
	if _, err := db.Connect(t, db.Reader).Exec(t.Context(), "SELECT analyze_trail()"); SQLState(err) != "42501" {
		t.Errorf("the reader may do it: %v", err)
	}
}
