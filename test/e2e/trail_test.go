//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// query runs a query as the reader, whose password is in the chart's Secret, and
// hands every row to scan. It connects anew each time: servers come and go here.
func (n *namespace) query(ctx context.Context, t *testing.T, scan func(pgx.Rows) error, sql string, args ...any) error {
	t.Helper()
	port, stop, err := n.forward(ctx, "trailpost-postgresql-0", 5432)
	if err != nil {
		return err
	}
	defer stop()
	config, err := pgx.ParseConfig("")
	if err != nil {
		return err
	}
	config.Host, config.Port, config.Database = "127.0.0.1", port, "code_reviewer_logs"
	config.User, config.Password = "trail_reader", n.secret(t, "trailpost-database")["reader-password"]
	config.TLSConfig, config.Fallbacks = n.tlsConfig("trailpost-postgresql"), nil
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// count is the number of the ledger's events that are rows.
func (n *namespace) count(ctx context.Context, t *testing.T, l *ledger) (rows int, err error) {
	t.Helper()
	err = n.query(ctx, t, func(r pgx.Rows) error { return r.Scan(&rows) },
		"SELECT count(*) FROM log_events WHERE payload ->> 'run' = $1", l.run)
	return rows, err
}

// compare is stored, and the dead-letter queue must be empty.
func (n *namespace) compare(t *testing.T, l *ledger) {
	t.Helper()
	n.stored(t, l)
	eventually(t, time.Minute, "the broker tells its queues' depths", func(ctx context.Context) (bool, error) {
		queues, err := n.queues(ctx)
		if err == nil && queues["log_queue.dead"] != 0 {
			t.Errorf("%d dead letters", queues["log_queue.dead"])
		}
		return err == nil, err
	})
}

// stored waits until as many rows are there as the client was told of, and then
// compares the two: every accepted event is one row, and there are no others.
func (n *namespace) stored(t *testing.T, l *ledger) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("the client: %d events accepted, %d unsettled; %s", len(l.accepted), len(l.unsettled), l.summary())
	for _, fault := range l.faults {
		t.Errorf("the client: %s", fault)
	}
	eventually(t, 3*time.Minute, fmt.Sprintf("%d events are rows", len(l.accepted)), func(ctx context.Context) (bool, error) {
		rows, err := n.count(ctx, t, l)
		return rows >= len(l.accepted), err
	})

	stored, numbers := make(map[uuid.UUID]int), make(map[int]int)
	err := n.query(t.Context(), t, func(r pgx.Rows) error {
		var id uuid.UUID
		var number int
		if err := r.Scan(&id, &number); err != nil {
			return err
		}
		stored[id]++
		numbers[number]++
		return nil
	}, "SELECT event_id, (payload ->> 'n')::int FROM log_events WHERE payload ->> 'run' = $1", l.run)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range differences(l, stored, numbers) {
		t.Error(fault)
	}
}

// differences are those between what the client was told and what is stored, by id
// and by the client's own number of the event.
func differences(l *ledger, stored map[uuid.UUID]int, numbers map[int]int) (faults []string) {
	var lost, foreign, twice int
	for id := range l.accepted {
		if stored[id] == 0 {
			lost++
		}
	}
	for id := range stored {
		_, accepted := l.accepted[id]
		_, unsettled := l.unsettled[id]
		if !accepted && !unsettled {
			foreign++
		}
	}
	for _, n := range numbers {
		if n > 1 {
			twice += n - 1
		}
	}
	for what, n := range map[string]int{"accepted events are not stored": lost, "stored events were never sent": foreign, "events are stored twice": twice} {
		if n > 0 {
			faults = append(faults, fmt.Sprintf("%d %s", n, what))
		}
	}
	return faults
}

// queues are the depths of the broker's queues, in messages.
func (n *namespace) queues(ctx context.Context) (map[string]int, error) {
	text, err := n.exec(ctx, "trailpost-rabbitmq-0", "rabbitmq", "rabbitmqctl", "--silent", "--formatter", "json", "list_queues", "name", "messages")
	if err != nil {
		return nil, err
	}
	var list []struct {
		Name     string `json:"name"`
		Messages int    `json:"messages"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("list_queues: %w in %q", err, text)
	}
	depths := make(map[string]int)
	for _, queue := range list {
		depths[queue.Name] = queue.Messages
	}
	return depths, nil
}
