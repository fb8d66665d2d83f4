// Package dependents asks PostgreSQL what depends on a table.
package dependents

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/pgident"
)

// What depends on a table names it by its OID: another table that takes its name is not the one
// that a view reads. Each of these lists names, in the order of what they name, for a table $table.
const (
	// DropRefused are objects for which PostgreSQL refuses to drop the table: views, functions,
	// foreign keys of others. They may depend on what goes with the table, too: a function on its
	// row type, a foreign key on its index. A foreign key to the trail has one for each partition,
	// which comes and goes with it.
	DropRefused = `
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

	// Published are publications that name the table. They lose it without a word when it is
	// dropped.
	Published = `
	SELECT pg_describe_object('pg_publication'::regclass, prpubid, 0) FROM pg_publication_rel WHERE prrelid = $table::regclass`

	// OwnObjects is what a partition has and the trail has not.
	OwnObjects = `
	SELECT pg_describe_object('pg_trigger'::regclass, oid, 0) FROM pg_trigger WHERE tgrelid = $table::regclass AND NOT tgisinternal AND tgparentid = 0
	UNION ALL SELECT pg_describe_object('pg_rewrite'::regclass, oid, 0) FROM pg_rewrite WHERE ev_class = $table::regclass
	UNION ALL SELECT pg_describe_object('pg_policy'::regclass, oid, 0) FROM pg_policy WHERE polrelid = $table::regclass
	UNION ALL SELECT pg_describe_object('pg_constraint'::regclass, oid, 0) FROM pg_constraint
		WHERE conrelid = $table::regclass AND coninhcount = 0 AND contype <> 't'
	UNION ALL SELECT pg_describe_object('pg_class'::regclass, indexrelid, 0) FROM pg_index i
		WHERE indrelid = $table::regclass AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = indexrelid)
		  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = indrelid AND conindid = indexrelid)`
)

// NamesQuery is a query of one row: the names that lists have for a table, joined for a message;
// null if there is no such name.
func NamesQuery(table string, lists ...string) string {
	query := "SELECT string_agg(DISTINCT name, ', ') FROM ((" + strings.Join(lists, ") UNION ALL (") + ")) listed (name)"
	return strings.ReplaceAll(query, "$table", "'"+pgident.Public(table)+"'")
}

// querier is a connection or a transaction of it.
type querier interface {
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// Names returns what the lists have for a table, joined for a message, or "".
func Names(ctx context.Context, db querier, table string, lists ...string) (names string, err error) {
	err = db.QueryRow(ctx, "SELECT coalesce(("+NamesQuery(table, lists...)+"), '')").Scan(&names)
	return names, err
}

// RequireDroppable refuses a table that PostgreSQL would not drop, and says why.
func RequireDroppable(ctx context.Context, db querier, table string) error {
	names, err := Names(ctx, db, table, DropRefused)
	if err == nil && names != "" {
		err = fmt.Errorf("%s can't be dropped, because others depend on it: %s; drop them, or have them use log_events", table, names)
	}
	return err
}

// Refused reports whether PostgreSQL refused to drop something; a caller may raise the same,
// dependent_objects_still_exist.
func Refused(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "2BP01" // dependent_objects_still_exist
}
