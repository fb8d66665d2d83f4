package attach

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// restRows is what may be left to be copied while others wait.
const restRows = 1000

// copying is where the copying of the default partition is. It goes over it once in the order of
// event_id, and then, again and again, over what has come since, in the order of tx: what is stored
// later than a horizon has a tx from there on.
type copying struct {
	at      *Attacher
	month   month.Month
	columns columnList

	since    int64     // the tx from which on rows may not have been copied
	horizon  int64     // trail_horizon when this pass began; 0: none has begun
	tx       int64     // where the pass is
	id       uuid.UUID // …
	vacuumed bool
}

// catchUp copies until hardly anything is left.
func (c *copying) catchUp(ctx context.Context) error {
	for range 10 {
		rows, err := c.pass(ctx)
		if err != nil {
			return err
		}
		if !c.vacuumed {
			c.vacuum(ctx)
			c.vacuumed = true
		} else if rows <= restRows {
			break
		}
	}
	return nil
}

// pass goes over the rows once, or goes on where it failed, and returns how many there were.
func (c *copying) pass(ctx context.Context) (rows int, err error) {
	if c.horizon == 0 {
		if err := c.at.Conn.QueryRow(ctx, "SELECT public.trail_horizon()").Scan(&c.horizon); err != nil {
			return 0, err
		}
		c.tx, c.id = c.since, uuid.Nil
	}
	for {
		n, err := c.slice(ctx)
		if err != nil {
			return rows, err
		}
		rows += n
		if n < c.at.SliceRows {
			c.since, c.horizon = c.horizon, 0
			return rows, nil
		}
		c.at.Failpoint("slice copied")
	}
}

func (c *copying) slice(ctx context.Context) (n int, err error) {
	which, args := "event_id >= $1 ORDER BY event_id LIMIT $2", []any{c.id, c.at.SliceRows}
	ways := "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"
	if c.since > 0 {
		which, args = "tx >= $1 AND tx < $4 AND (tx, event_id) >= ($1, $2) ORDER BY tx, event_id LIMIT $3", []any{c.tx, c.id, c.at.SliceRows, c.horizon}
		ways = "SET LOCAL enable_seqscan = off"
	}
	ways += "; SET LOCAL synchronous_commit = off" // they are only copies yet
	statement := replace(copySlice, c.month, c.columns)
	err = durable.Tx(ctx, c.at.Conn, pgx.TxOptions{}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, ways); err != nil {
			return err
		}
		var (
			lastTx *int64
			last   *uuid.UUID
		)
		if err := tx.QueryRow(ctx, strings.Replace(statement, "$which", which, 1), args...).Scan(&n, &lastTx, &last); err != nil {
			return err
		}
		if n > 0 {
			c.tx, c.id = *lastTx, successor(*last)
		}
		return nil
	})
	return n, err
}

// successor is the next id. The last has itself, which is copied again, to no effect.
func successor(id uuid.UUID) uuid.UUID {
	for i := len(id) - 1; i >= 0 && id != uuid.Max; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}

const copySlice = `
	WITH d AS MATERIALIZED (
		SELECT $columns, row_number() OVER () AS nth FROM (SELECT $columns FROM ONLY public.log_events_default WHERE $which) d
	), late AS (
		INSERT INTO $month ($columns) SELECT $columns FROM d WHERE event_id >= '$low' AND event_id < '$high'
		ON CONFLICT (event_id) DO NOTHING
	), others AS (
		INSERT INTO public.` + NextDefault + ` ($columns) SELECT $columns FROM d WHERE event_id < '$low' OR event_id >= '$high'
		ON CONFLICT (event_id) DO NOTHING
	), last AS (
		SELECT tx, event_id FROM d ORDER BY nth DESC LIMIT 1
	)
	SELECT (SELECT count(*) FROM d), (SELECT tx FROM last), (SELECT event_id FROM last)`

// vacuum has PostgreSQL know the new table, and the old one's newest rows by their tx. It may fail:
// then others wait longer.
func (c *copying) vacuum(ctx context.Context) {
	for _, statement := range []string{
		"VACUUM (ANALYZE) " + pgident.Public(NextDefault),
		`SELECT brin_summarize_new_values(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
		  WHERE i.indrelid = 'public.log_events_default'::regclass AND a.amname = 'brin'`,
	} {
		if _, err := c.at.Conn.PgConn().Exec(ctx, "SET lock_timeout = '200ms'").ReadAll(); err != nil {
			return
		}
		if _, err := c.at.Conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
			c.at.Log.WarnContext(ctx, "before the exchange, a table could not be tidied up", "error", err)
		}
		if _, err := c.at.Conn.PgConn().Exec(ctx, "SET lock_timeout = 0").ReadAll(); err != nil {
			return
		}
	}
}
