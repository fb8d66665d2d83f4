package partitions

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/durable"
)

// A default partition that is large is not emptied row by row while others wait: it is exchanged.
//
//  1. A table like it is made, nextDefault.
//  2. Its rows are copied in slices, each a transaction: those of the month into the month's table, which is still
//     detached, the others into nextDefault. Nobody sees the copies, and everybody the originals. Again and again, what has
//     come meanwhile is copied, too, until that is little.
//  3. One short transaction copies the rest, takes the default partition out of the trail and the two tables in. From one
//     moment to the next, each event is found in the one or the other.
//  4. The former default partition, formerDefault, is private now. It is held against the trail row by row, what conflicts
//     is set aside, and it is dropped, in one transaction.
//
// Views, foreign keys and the like that name the default partition would go on with the former one. So there is no exchange while there
// are such: 3 looks once more, with its locks. Those that name the former one after 3 keep 4 from dropping it, and from nothing else.
//
// Before 3, all that is left of a process that was killed is copies, of which the next attach makes use, and which undo takes
// back before the month is exported otherwise. After 3, whatever comes next does 4 first.
const (
	nextDefault   = "log_events_default_next"
	formerDefault = "log_events_default_former"
)

// commentPrefix is the comment on both, before the month.
const commentPrefix = "Of migrate partitions, which attaches "

// sliceRows is how many rows are copied in a transaction. (A variable for tests.)
var sliceRows = 5000

// restRows is what may be left to be copied while others wait.
const restRows = 1000

func (s *Session) exchange(ctx context.Context, m Month, columns columnList) (a Attachment, err error) {
	if err := s.requireExchangeable(ctx); err != nil {
		return a, err
	}
	why, err := s.dropKeptFormer(ctx)
	if err == nil && why != "" {
		err = fmt.Errorf("log_events_default is large and has to be exchanged for a new table, and %s, which was exchanged before, has to be dropped first: %s", formerDefault, why)
	}
	if err != nil {
		return a, err
	}
	ensure, err := s.holdEnsure(ctx)
	if err != nil {
		return a, err
	}
	defer func() { _ = ensure.release(context.WithoutCancel(ctx)) }()
	if err := s.makeNext(ctx, m, columns); err != nil {
		return a, err
	}
	failpoint("next made")
	s.log.InfoContext(ctx, "The default partition is large: its events are copied while others read and write, and then it is exchanged", "month", m.String())
	c := copying{s: s, month: m, columns: columns}
	err = s.retryLocked(ctx, []string{"log_events", "log_events_default", m.Table()}, func() error {
		if err := c.catchUp(ctx); err != nil {
			return err
		}
		failpoint("copied")
		if err := ensure.check(ctx); err != nil {
			return err
		}
		// Who has a snapshot from before the copies, and not looked at the trail yet, would find neither.
		if err := s.waitForOlderSnapshots(ctx); err != nil {
			return err
		}
		_, err := s.conn.PgConn().Exec(ctx, c.swap()).ReadAll()
		if isDependedOn(err) { // since a moment ago
			if named := s.requireExchangeable(ctx); named != nil {
				return named
			}
		}
		return err
	})
	if err != nil {
		return a, err
	}
	failpoint("exchanged")
	_ = ensure.release(ctx)
	return s.reconcile(ctx, m)
}

// holdEnsure keeps ensure_partitions from moving rows out of the default partition. It does nothing then, and is called
// again in an hour.
func (s *Session) holdEnsure(ctx context.Context) (*tableLock, error) {
	l, err := s.openLock(ctx, ensureLock)
	if err != nil {
		return nil, err
	}
	if err := s.retryLocked(ctx, nil, func() error { return l.try(ctx) }); err != nil {
		return nil, errors.Join(err, l.release(context.WithoutCancel(ctx)))
	}
	return l, nil
}

// monthOfOwnTable reports whether a table of ours is there, and for which month.
func (s *Session) monthOfOwnTable(ctx context.Context, table string) (m Month, there bool, err error) {
	var comment string
	const question = `SELECT coalesce(obj_description(oid, 'pg_class'), '') FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relname = $1`
	err = s.conn.QueryRow(ctx, question, table).Scan(&comment)
	if errors.Is(err, pgx.ErrNoRows) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	name, ours := strings.CutPrefix(comment, commentPrefix)
	if m, err = ParseMonth(name); !ours || err != nil {
		return m, true, fmt.Errorf("there is a table %s that `migrate partitions` has not made, and needs the name of: rename it", table)
	}
	return m, true, nil
}

// makeNext makes the table that is to be the default partition, or finds the one that a process has left that was killed.
func (s *Session) makeNext(ctx context.Context, m Month, columns columnList) error {
	bounds, err := s.bounds(ctx, m)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(bounds + columns.of("")))
	check := fmt.Sprintf("of_no_month_%x", sum[:8])
	of, there, err := s.monthOfOwnTable(ctx, nextDefault)
	if err != nil {
		return err
	}
	if there {
		var same bool
		const question = "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1::text::regclass AND conname = $2)"
		if err := s.conn.QueryRow(ctx, question, qualified(nextDefault), check).Scan(&same); err != nil {
			return err
		}
		if same && of == m {
			return nil
		}
		if err := s.dropNext(ctx); err != nil {
			return err
		}
	}
	statements := strings.NewReplacer("$next", qualified(nextDefault), "$check", check, "$bounds", bounds, "$comment", commentPrefix+m.String()).Replace(next)
	return s.retryLocked(ctx, []string{"log_events", "log_events_default"}, func() error {
		_, err := s.conn.PgConn().Exec(ctx, statements).ReadAll()
		return err
	})
}

// dropNext drops copies that nobody uses.
func (s *Session) dropNext(ctx context.Context) error {
	if err := s.requireDroppable(ctx, nextDefault); err != nil {
		return err
	}
	_, err := s.conn.Exec(ctx, "DROP TABLE "+qualified(nextDefault))
	return err
}

// bounds says of an event_id that it is of no month that is attached, nor of this one. PostgreSQL proves from it that the table
// can be the default partition, and need not read it while others wait.
func (s *Session) bounds(ctx context.Context, m Month) (string, error) {
	rows, err := s.conn.Query(ctx, `
		SELECT format('(event_id < %L OR event_id >= %L)', b[1], b[2])
		  FROM (SELECT regexp_match(pg_get_partition_constraintdef(inhrelid), $re$>= '([0-9a-f-]+)'::uuid\) AND \(event_id < '([0-9a-f-]+)'::uuid$re$) b
		          FROM pg_inherits WHERE inhparent = 'public.log_events'::regclass) bounds
		 WHERE b IS NOT NULL ORDER BY b`)
	if err != nil {
		return "", err
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	all = append(all, fmt.Sprintf("(event_id < '%s' OR event_id >= '%s')", floor(m.Start()), floor(m.End())))
	return strings.Join(all, " AND "), err
}

// next is made as ensure_partitions makes a month, and is then given what the default partition has from its owner's hand.
const next = `
SET LOCAL lock_timeout = '200ms';
CREATE TABLE $next (LIKE public.log_events INCLUDING ALL);
ALTER TABLE $next ADD CONSTRAINT $check CHECK ($bounds);
COMMENT ON TABLE $next IS '$comment';
DO $do$
DECLARE
    old constant regclass := 'public.log_events_default';
    new constant regclass := '$next';
    statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER TABLE %s OWNER TO %s', new, relowner::regrole) FROM pg_class WHERE oid = old
        UNION ALL
        SELECT format('ALTER TABLE %s SET (%s)', new, array_to_string(reloptions, ', ')) FROM pg_class WHERE oid = old AND reloptions IS NOT NULL
        UNION ALL
        SELECT DISTINCT format('REVOKE ALL ON %s FROM %s', new, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
          FROM pg_class, aclexplode(relacl) WHERE oid = new AND grantee <> relowner
    LOOP
        EXECUTE statement;
    END LOOP;
    FOR statement IN
        SELECT format('GRANT %s ON %s TO %s%s', privilege_type, new, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                      CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
          FROM pg_class, aclexplode(relacl) WHERE oid = old AND grantee <> relowner
        UNION ALL
        SELECT format('GRANT %s (%I) ON %s TO %s%s', privilege_type, attname, new, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,
                      CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)
          FROM pg_attribute, aclexplode(attacl) WHERE attrelid = old AND attnum > 0 AND NOT attisdropped
    LOOP
        EXECUTE statement;
    END LOOP;
END
$do$`

// copying is where the copying of the default partition is. It goes over it once in the order of event_id, and then, again and
// again, over what has come since, in the order of tx: what is stored later than a horizon has a tx from there on.
type copying struct {
	s       *Session
	month   Month
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
		if err := c.s.conn.QueryRow(ctx, "SELECT public.trail_horizon()").Scan(&c.horizon); err != nil {
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
		if n < sliceRows {
			c.since, c.horizon = c.horizon, 0
			return rows, nil
		}
		failpoint("slice copied")
	}
}

func (c *copying) slice(ctx context.Context) (n int, err error) {
	which, args := "event_id >= $1 ORDER BY event_id LIMIT $2", []any{c.id, sliceRows}
	ways := "SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off"
	if c.since > 0 {
		which, args = "tx >= $1 AND tx < $4 AND (tx, event_id) >= ($1, $2) ORDER BY tx, event_id LIMIT $3", []any{c.tx, c.id, sliceRows, c.horizon}
		ways = "SET LOCAL enable_seqscan = off"
	}
	ways += "; SET LOCAL synchronous_commit = off" // they are only copies yet
	statement := replace(copySlice, c.month, c.columns)
	err = durable.Tx(ctx, c.s.conn, pgx.TxOptions{}, func(tx pgx.Tx) error {
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
		INSERT INTO public.` + nextDefault + ` ($columns) SELECT $columns FROM d WHERE event_id < '$low' OR event_id >= '$high'
		ON CONFLICT (event_id) DO NOTHING
	), last AS (
		SELECT tx, event_id FROM d ORDER BY nth DESC LIMIT 1
	)
	SELECT (SELECT count(*) FROM d), (SELECT tx FROM last), (SELECT event_id FROM last)`

// vacuum has PostgreSQL know the new table, and the old one's newest rows by their tx. It may fail: then others wait longer.
func (c *copying) vacuum(ctx context.Context) {
	for _, statement := range []string{
		"VACUUM (ANALYZE) " + qualified(nextDefault),
		`SELECT brin_summarize_new_values(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
		  WHERE i.indrelid = 'public.log_events_default'::regclass AND a.amname = 'brin'`,
	} {
		if _, err := c.s.conn.PgConn().Exec(ctx, "SET lock_timeout = '200ms'").ReadAll(); err != nil {
			return
		}
		if _, err := c.s.conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
			c.s.log.WarnContext(ctx, "Before the exchange, a table could not be vacuumed up", "error", err)
		}
		if _, err := c.s.conn.PgConn().Exec(ctx, "SET lock_timeout = 0").ReadAll(); err != nil {
			return
		}
	}
}

// swap is the one transaction: in one message, as detachStatements is, and, as that one, it does not have others wait until the
// disk or a standby has it. What is lost with it, in a crash, is the exchange.
func (c *copying) swap() string {
	return strings.NewReplacer("$since", fmt.Sprint(c.since), "$comment", commentPrefix+c.month.String(),
		"$dependents", namesQuery("log_events_default", exchangeRefused...)).
		Replace(replace(swapStatements, c.month, c.columns))
}

const swapStatements = `
SET LOCAL lock_timeout = '200ms';
SET LOCAL statement_timeout = '200ms';
SET LOCAL synchronous_commit = off;
LOCK TABLE ONLY public.log_events, ONLY public.log_events_default, ONLY $month, ONLY public.` + nextDefault + ` IN ACCESS EXCLUSIVE MODE;
SET LOCAL statement_timeout = '400ms';
DO $do$
BEGIN
    IF ($dependents) IS NOT NULL THEN
        RAISE dependent_objects_still_exist USING MESSAGE = 'something depends on log_events_default';
    END IF;
END
$do$;
SET LOCAL enable_seqscan = off;
WITH d AS MATERIALIZED (
    SELECT $columns FROM ONLY public.log_events_default WHERE tx >= $since
), late AS (
    INSERT INTO $month ($columns) SELECT $columns FROM d WHERE event_id >= '$low' AND event_id < '$high'
    ON CONFLICT (event_id) DO NOTHING
)
INSERT INTO public.` + nextDefault + ` ($columns) SELECT $columns FROM d WHERE event_id < '$low' OR event_id >= '$high'
ON CONFLICT (event_id) DO NOTHING;
DO $do$
DECLARE
    comment constant text := obj_description('public.log_events_default'::regclass, 'pg_class');
    names   text[]; -- of the indexes
    parents oid[];
    one     record;
BEGIN
    SELECT array_agg(c.relname::text), array_agg(h.inhparent) INTO names, parents
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_inherits h ON h.inhrelid = c.oid
     WHERE i.indrelid = 'public.log_events_default'::regclass;
    ALTER TABLE public.log_events DETACH PARTITION public.log_events_default;
    FOR one IN SELECT relname FROM pg_class WHERE oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'public.log_events_default'::regclass) LOOP
        EXECUTE format('ALTER INDEX public.%I RENAME TO %I', one.relname, left(one.relname, 54) || '_former');
    END LOOP;
    ALTER TABLE public.log_events_default RENAME TO ` + formerDefault + `;
    COMMENT ON TABLE public.` + formerDefault + ` IS '$comment';
    ALTER TABLE public.log_events ATTACH PARTITION $month FOR VALUES FROM ('$low') TO ('$high');
    ALTER TABLE public.log_events ATTACH PARTITION public.` + nextDefault + ` DEFAULT;
    ALTER TABLE public.` + nextDefault + ` RENAME TO log_events_default;
    FOR one IN
        SELECT c.relname, h.inhparent FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_inherits h ON h.inhrelid = c.oid
         WHERE i.indrelid = 'public.log_events_default'::regclass
    LOOP
        EXECUTE format('ALTER INDEX public.%I RENAME TO %I', one.relname, names[array_position(parents, one.inhparent)]);
    END LOOP;
    FOR one IN SELECT conname FROM pg_constraint WHERE conrelid = 'public.log_events_default'::regclass AND conname LIKE 'of\_no\_month\_%' LOOP
        EXECUTE format('ALTER TABLE public.log_events_default DROP CONSTRAINT %I', one.conname);
    END LOOP;
    EXECUTE format('COMMENT ON TABLE public.log_events_default IS %L', comment);
    ALTER TABLE $month DROP CONSTRAINT month_of_events;
    COMMENT ON TABLE $month IS NULL;
END
$do$`

// timedOut is a statement that took longer than it may.
func timedOut(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "57014"
}
