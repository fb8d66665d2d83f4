package attach

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/dependents"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// makeNext makes the table that is to be the default partition, or finds the one that a process has
// left that was killed.
func (at *Attacher) makeNext(ctx context.Context, m month.Month, columns columnList) error {
	bounds, err := at.bounds(ctx, m)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(bounds + columns.of("")))
	check := fmt.Sprintf("of_no_month_%x", sum[:8])
	of, there, err := at.monthOfOwnTable(ctx, NextDefault)
	if err != nil {
		return err
	}
	if there {
		var same bool
		const question = "SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = $1::text::regclass AND conname = $2)"
		if err := at.Conn.QueryRow(ctx, question, pgident.Public(NextDefault), check).Scan(&same); err != nil {
			return err
		}
		if same && of == m {
			return nil
		}
		if err := at.dropNext(ctx); err != nil {
			return err
		}
	}
	statements := strings.NewReplacer("$next", pgident.Public(NextDefault), "$check", check, "$bounds", bounds, "$comment", commentPrefix+m.String()).Replace(next)
	return at.Locks.Retry(ctx, []string{"log_events", "log_events_default"}, func() error {
		_, err := at.Conn.PgConn().Exec(ctx, statements).ReadAll()
		return err
	})
}

// dropNext drops copies that nobody uses.
func (at *Attacher) dropNext(ctx context.Context) error {
	if err := dependents.RequireDroppable(ctx, at.Conn, NextDefault); err != nil {
		return err
	}
	_, err := at.Conn.Exec(ctx, "DROP TABLE "+pgident.Public(NextDefault))
	return err
}

// bounds says of an event_id that it is of no month that is attached, nor of this one. PostgreSQL
// proves from it that the table can be the default partition, and need not read it while others
// wait.
func (at *Attacher) bounds(ctx context.Context, m month.Month) (string, error) {
	rows, err := at.Conn.Query(ctx, `
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

// next is made as ensure_partitions makes a month, and is then given what the default partition has
// from its owner's hand.
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
