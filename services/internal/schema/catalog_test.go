package schema_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// catalog lists everything that a migration can leave in a database: relations, columns,
// constraints, indexes, functions, triggers, comments, and who may do what (spelled out, so that
// "no grants yet" and "the owner's own" are the same).
func catalog(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(context.Background(), `
		WITH ours AS (
			SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
		), grants (what, acl) AS (
			SELECT 'schema ' || nspname, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace WHERE oid IN (TABLE ours)
			UNION ALL
			SELECT 'relation ' || oid::regclass, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
			FROM pg_class WHERE relnamespace IN (TABLE ours) AND relkind IN ('r', 'p', 'v', 'S')
			UNION ALL
			SELECT 'column ' || attrelid::regclass || '.' || attname, attacl
			FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relnamespace IN (TABLE ours)
			UNION ALL
			SELECT 'function ' || oid::regprocedure, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc WHERE pronamespace IN (TABLE ours)
		)
		SELECT concat_ws(' ', 'grant', what, g.grantor::regrole, g.grantee::regrole, privilege_type, is_grantable) AS line
		FROM grants, aclexplode(acl) g
		UNION ALL
		SELECT concat_ws(' ', 'relation', oid::regclass, relkind, relpersistence, relowner::regrole, reloptions, relispartition,
			pg_get_expr(relpartbound, oid), CASE relkind WHEN 'v' THEN pg_get_viewdef(oid) END)
		FROM pg_class WHERE relnamespace IN (TABLE ours) AND relkind <> 't'
		UNION ALL
		SELECT concat_ws(' ', 'column', attrelid::regclass, row_number() OVER (PARTITION BY attrelid ORDER BY attnum), attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
			pg_get_expr(adbin, adrelid))
		FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
		WHERE relnamespace IN (TABLE ours) AND attnum > 0 AND NOT attisdropped
		UNION ALL
		SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE connamespace IN (TABLE ours)
		UNION ALL
		SELECT concat_ws(' ', 'index', indexrelid::regclass, pg_get_indexdef(indexrelid)) FROM pg_index
		JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace IN (TABLE ours)
		UNION ALL
		SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace IN (TABLE ours) AND prokind <> 'a'
		UNION ALL
		SELECT concat_ws(' ', 'trigger', tgrelid::regclass, tgfoid::regproc) FROM pg_trigger
		UNION ALL
		SELECT concat_ws(' ', 'type', oid::regtype) FROM pg_type WHERE typnamespace IN (TABLE ours)
		UNION ALL
		SELECT concat_ws(' ', 'comment', pg_describe_object(classoid, objoid, objsubid), description) FROM pg_description
		WHERE classoid IN ('pg_class'::regclass, 'pg_proc'::regclass) AND objoid >= 16384
		UNION ALL
		SELECT concat_ws(' ', 'default privileges', defaclrole::regrole, defaclacl) FROM pg_default_acl
		UNION ALL
		SELECT concat_ws(' ', 'schema', nspname, nspowner::regrole) FROM pg_namespace WHERE oid IN (TABLE ours)
		UNION ALL
		SELECT concat_ws(' ', 'extension', extname) FROM pg_extension
		UNION ALL
		SELECT concat_ws(' ', 'large object', oid) FROM pg_largeobject_metadata
		ORDER BY line`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// without returns the lines of a that b lacks.
func without(a, b []string) []string {
	has := make(map[string]bool, len(b))
	for _, line := range b {
		has[line] = true
	}
	var only []string
	for _, line := range a {
		if !has[line] {
			only = append(only, line)
		}
	}
	return only
}
