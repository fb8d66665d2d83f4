package followers

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// fill makes events of some months, as consumers store them: 500 a transaction, in the order of
// their ids but for a few.
const fill = `INSERT INTO log_events (event_id, session_id, event_type, "timestamp", received_at, payload, tx)
	SELECT (left(event_id_floor($3::timestamptz + (n + CASE WHEN n % 1000 = 0 THEN -300 ELSE 0 END) * ((make_interval(months => $5) - interval '3 days') / $4::float8))::text, 14)
		|| '7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 1, 'user_action', $3, $3, jsonb_build_object('n', n, 'text', repeat('x', 100)), 1000 + n / 500
	FROM generate_series($1::bigint, $2::bigint - 1) n`

// TestPagesAreBounded: what a page reads does not grow with the trail. The index on tx finds it, in
// the beginning, the middle and at the end; by the row comparison alone PostgreSQL would read
// everything.
//
//	go test ./services/internal/followers -run TestPagesAreBounded -v -followers.rows=10000000 -followers.o=…
func TestPagesAreBounded(t *testing.T) {
	db := testbed.Postgres(t)
	owner, admin := db.Connect(t, db.Owner), db.Connect(t, db.Admin)
	exec := func(conn *pgx.Conn, statement string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	months := 24
	if *rows < 5_000_000 {
		months = 2 // so that each has more pages than the index has in a range
	}
	testbed.EnsurePartitions(t, owner, months)
	now := time.Now().UTC()
	from := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	const part = 1_000_000
	for n := 0; n < *rows; n += part {
		exec(owner, fill, n, min(n+part, *rows), from, *rows, months)
	}
	exec(admin, "VACUUM ANALYZE log_events")
	var partitions, whole int64
	if err := admin.QueryRow(t.Context(), `SELECT count(*), sum(pg_relation_size(relid))::bigint / 8192 FROM pg_partition_tree('log_events') WHERE isleaf`).
		Scan(&partitions, &whole); err != nil {
		t.Fatal(err)
	}

	reader := db.Connect(t, db.Reader)
	last := int64(1000 + (*rows-1)/500)
	// Two pages of an index with 128 pages a range for each month: where it begins, and its last
	// range, which VACUUM leaves to the next one until it is full. And a range or two where the
	// rows are.
	bound := 2*128 + partitions*(128+8)
	if bound > whole/2 {
		t.Fatalf("a bound of %d pages of %d proves nothing", bound, whole)
	}
	var report strings.Builder
	fmt.Fprintf(&report, "%s, PostgreSQL %s, %d rows, %d pages in %d partitions\n", time.Now().UTC().Format(time.DateOnly),
		reader.PgConn().ParameterStatus("server_version"), *rows, whole, partitions)
	for _, tx := range []int64{1000, 1000 + rand.Int64N(last-1000), last, last + 100} {
		plan, ms := explain(t, reader, "tx >= $1 AND tx < least($1 + $3, $4::bigint) AND (tx, event_id) > ($1, $2)", tx, 2)
		fmt.Fprintf(&report, "a page from tx %d: %d buffers, %.1f ms\n", tx, plan.buffers(), ms)
		if read := plan.buffers(); read > bound {
			t.Errorf("a page from tx %d read %d pages, want at most %d:%s", tx, read, bound, plan.tables())
		}
	}
	plan, ms := explain(t, reader, "(tx, event_id) > ($1, $2) AND $3::bigint IS NOT NULL AND $4::bigint IS NOT NULL", last, 2)
	fmt.Fprintf(&report, "by the pair alone, from tx %d: %d buffers, %.1f ms\n", last, plan.buffers(), ms)
	if read := plan.buffers(); read < whole/2 {
		t.Errorf("the row comparison alone reads %d pages of %d: PostgreSQL has learned to use the index for it, docs/following.md can say so", read, whole)
	}
	t.Log(report.String())
	if *measure != "" {
		if err := os.WriteFile(*measure, []byte(report.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// explain runs a page and returns its plan, with the buffers that it touched.
func explain(t *testing.T, reader *pgx.Conn, where string, tx, width int64) (plan *node, ms float64) {
	t.Helper()
	var text []byte
	err := reader.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT tx, event_id, payload FROM log_events WHERE "+where+
		" ORDER BY tx, event_id LIMIT 1000", pgx.QueryExecModeExec, tx, "00000000-0000-0000-0000-000000000000", width, int64(1<<62)).Scan(&text)
	if err != nil {
		t.Fatal(err)
	}
	var plans []struct {
		Plan node
		Time float64 `json:"Execution Time"`
	}
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	return &plans[0].Plan, plans[0].Time
}

// node is one of a plan.
type node struct {
	Type  string `json:"Node Type"`
	Table string `json:"Relation Name"`
	Hit   int64  `json:"Shared Hit Blocks"`
	Read  int64  `json:"Shared Read Blocks"`
	Plans []node
}

func (n *node) buffers() int64 { return n.Hit + n.Read }

// tables says how many buffers each month's table took, of those that took many.
func (n *node) tables() (text string) {
	if n.Table != "" && n.buffers() > 2*128 {
		text = fmt.Sprintf(" %s %s %d;", n.Type, n.Table, n.buffers())
	}
	for i := range n.Plans {
		text += n.Plans[i].tables()
	}
	return text
}
