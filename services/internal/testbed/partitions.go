package testbed

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// EnsurePartitions makes the partitions from last month to monthsAhead (1 to 24) months from now
// and returns how many it made. As the consumer does, it comes again while somebody else has a
// lock: autovacuum may, on a table that a test has filled.
func EnsurePartitions(t testing.TB, conn *pgx.Conn, monthsAhead int) (made int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) { // until autovacuum is done
		err := conn.QueryRow(t.Context(), "SELECT public.ensure_partitions($1)", monthsAhead).Scan(&made)
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "55P03" && time.Now().Before(deadline) {
			continue
		}
		if err != nil {
			t.Fatalf("making partitions: %v", err)
		}
		return made
	}
}
