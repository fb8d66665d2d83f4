package partitions

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/pgident"
)

// What depends on a table names it by its OID: another table that takes its name is not the one that a view reads. Each
// of these lists names, in the order of what they name, for a table $table.
const (
	// dropRefused are objects for which PostgreSQL refuses to drop the table: views, functions, foreign keys of others.
	// They may depend on what goes with the table, too: a function on its row type, a foreign key on its index. A foreign
	// key to the trail has one for each partition, which comes and goes with it.
	dropRefused = `
	WITH RECURSIVE own (classid, objid) AS (
		SELECT 'pg_class'::regclass::oid, $table::regclass::oid
		UNION
		SELECT d.classid, d.objid FROM own JOIN pg_depend d ON d.refclassid = own.classid AND d.refobjid = own.objid
		 WHERE d.deptype IN ('a', 'i', 'P', 'S')
	)
	SELECT CASE WHEN rulename = '_RETURN' THEN pg_describe_object('pg_class'::regclass, ev_class, 0)
	            ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END
	  FROM own JOIN pg_depend d ON d.refclassid = own.classid AND d.refobjid = own.objid AND d.deptype = 'n'
	  LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
	 WHERE NOT EXISTS (SELECT FROM own o WHERE o.classid = d.classid AND o.objid = d.objid)
	   AND NOT EXISTS (SELECT FROM pg_constraint c WHERE d.classid = 'pg_constraint'::regclass AND c.oid = d.objid AND c.conparentid <> 0)`

	// published are publications that name the table. They lose it without a word when it is dropped.
	published = `
	SELECT pg_describe_object('pg_publication'::regclass, prpubid, 0) FROM pg_publication_rel WHERE prrelid = $table::regclass`

	// ownObjects is what a partition has and the trail has not.
	ownObjects = `
	SELECT pg_describe_object('pg_trigger'::regclass, oid, 0) FROM pg_trigger WHERE tgrelid = $table::regclass AND NOT tgisinternal AND tgparentid = 0
	UNION ALL SELECT pg_describe_object('pg_rewrite'::regclass, oid, 0) FROM pg_rewrite WHERE ev_class = $table::regclass
	UNION ALL SELECT pg_describe_object('pg_policy'::regclass, oid, 0) FROM pg_policy WHERE polrelid = $table::regclass
	UNION ALL SELECT pg_describe_object('pg_constraint'::regclass, oid, 0) FROM pg_constraint
		WHERE conrelid = $table::regclass AND coninhcount = 0 AND contype <> 't'
	UNION ALL SELECT pg_describe_object('pg_class'::regclass, indexrelid, 0) FROM pg_index i
		WHERE indrelid = $table::regclass AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid)
		  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = indrelid AND conindid = indexrelid)`
)

// namesQuery is a query of one row: the names that lists have for a table, joined for a message; null if there is no such name.
func namesQuery(table string, lists ...string) string {
	query := "SELECT string_agg(DISTINCT name, ', ') FROM ((" + strings.Join(lists, ") UNION ALL (") + ")) listed (name)"
	return strings.ReplaceAll(query, "$table", "'"+pgident.Public(table)+"'")
}

// querier is a connection or a transaction of it.
type querier interface {
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// dependents names what the lists have for a table, or is "".
func dependents(ctx context.Context, db querier, table string, lists ...string) (names string, err error) {
	err = db.QueryRow(ctx, "SELECT coalesce(("+namesQuery(table, lists...)+"), '')").Scan(&names)
	return names, err
}

// requireDroppable refuses a table that PostgreSQL would not drop, and says why.
func (s *Session) requireDroppable(ctx context.Context, table string) error {
	names, err := dependents(ctx, s.conn, table, dropRefused)
	if err == nil && names != "" {
		err = fmt.Errorf("%s can't be dropped, because others depend on it: %s; drop them, or have them use log_events", table, names)
	}
	return err
}

// requireExchangeable refuses to exchange a default partition that others depend on, or that has something of its own: they
// would stay with the former one, which is no part of the trail.
func (s *Session) requireExchangeable(ctx context.Context) error {
	names, err := dependents(ctx, s.conn, "log_events_default", exchangeRefused...)
	if err == nil && names != "" {
		err = fmt.Errorf("log_events_default is large and has to be exchanged for a new table, and these would stay with the former one: %s; "+
			"drop them, or have them use log_events; those that are to be on it can be made again after the attach", names)
	}
	return err
}

var exchangeRefused = []string{dropRefused, published, ownObjects}

// isDependedOn reports whether PostgreSQL refused to drop something, or the exchange found what requireExchangeable finds.
func isDependedOn(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "2BP01" // dependent_objects_still_exist
}
