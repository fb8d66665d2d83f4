//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/test/ledger"
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
func (n *namespace) count(ctx context.Context, t *testing.T, l *ledger.Ledger) (rows int, err error) {
	t.Helper()
	err = n.query(ctx, t, func(r pgx.Rows) error { return r.Scan(&rows) },
		"SELECT count(*) FROM log_events WHERE payload ->> 'run' = $1", l.Run)
	return rows, err
}

// compare is stored, and the dead-letter queue must be empty.
func (n *namespace) compare(t *testing.T, l *ledger.Ledger) {
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

// stored waits until as many rows are there as the client was told of, and has the
// two compared: every accepted event is one row, as it was sent, and there are no others.
func (n *namespace) stored(t *testing.T, l *ledger.Ledger) {
	t.Helper()
	t.Logf("the client: %s", l.Summary())
	accepted := l.Accepted()
	eventually(t, 3*time.Minute, fmt.Sprintf("%d events are rows", accepted), func(ctx context.Context) (bool, error) {
		rows, err := n.count(ctx, t, l)
		return rows >= accepted, err
	})
	var rows []ledger.Event
	err := n.query(t.Context(), t, func(r pgx.Rows) error {
		e, err := ledger.Scan(r)
		rows = append(rows, e)
		return err
	}, ledger.Rows, l.Run)
	if err != nil {
		t.Fatal(err)
	}
	verdict := l.Judge(rows, nil)
	for _, fault := range verdict.Faults {
		t.Error(fault)
	}
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
