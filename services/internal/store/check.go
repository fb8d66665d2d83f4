package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
)

// SchemaVersion is the oldest schema that this package works with. Newer ones only add.
const SchemaVersion uint = 13

var (
	// ErrSchemaOld is a database that has not been migrated as far as SchemaVersion.
	ErrSchemaOld = errors.New("the database's schema is too old")
	// ErrRestored is a trail that does not belong to its database yet: it came with a dump, or has
	// no origin. The tx of its rows would not rise.
	ErrRestored = errors.New("the trail does not belong to this database")
	// ErrOwnerRole is a role that could change stored events.
	ErrOwnerRole = errors.New("the database role could change or delete stored events")
	// ErrLacksRights is a role that could not store events.
	ErrLacksRights = errors.New("the database role lacks rights that a consumer needs")
)

// Check refuses, before anything is consumed, what a consumer must not run on: a database that is
// not UTF-8 ([durable.ErrEncoding]), a schema older than SchemaVersion (ErrSchemaOld), a trail that
// this database has not adopted yet (ErrRestored), a role that can't store (ErrLacksRights) and, unless allowOwner is set, a role that may
// UPDATE, DELETE or TRUNCATE the trail, or can become one that may (ErrOwnerRole). Other errors
// come from the database: Classify them.
func Check(ctx context.Context, cfg Config, allowOwner bool) error {
	err := withConn(ctx, cfg, func(conn *pgx.Conn) error {
		if err := durable.RequireUTF8(conn); err != nil {
			return err
		}
		if err := checkVersion(ctx, conn); err != nil {
			return err
		}
		if err := checkOrigin(ctx, conn); err != nil {
			return err
		}
		if !allowOwner {
			if err := checkRole(ctx, conn); err != nil {
				return err
			}
		}
		return checkRights(ctx, conn)
	})
	if err != nil {
		return fmt.Errorf("checking the database: %w", err)
	}
	return nil
}

func checkVersion(ctx context.Context, conn *pgx.Conn) error {
	var (
		version uint
		dirty   bool
	)
	err := conn.QueryRow(ctx, "SELECT version, dirty FROM public.schema_migrations").Scan(&version, &dirty)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || SQLState(err) == "42P01": // undefined_table: nothing was ever migrated
		version = 0
	case err != nil:
		return err
	}
	if dirty {
		return fmt.Errorf("%w: a migration to version %d was left half done", ErrSchemaOld, version)
	}
	if version < SchemaVersion {
		return fmt.Errorf("%w: it is at version %d and this build needs %d; run `migrate up`", ErrSchemaOld, version, SchemaVersion)
	}
	return nil
}

// checkOrigin asks trail_elsewhere (migration 10), which says why the trail does not belong to this
// database: NULL where it does.
func checkOrigin(ctx context.Context, conn *pgx.Conn) error {
	var why *string
	if err := conn.QueryRow(ctx, "SELECT public.trail_elsewhere()").Scan(&why); err != nil || why == nil {
		return err
	}
	return fmt.Errorf("%w: %s; run `migrate up`", ErrRestored, *why)
}

// checkRights asks for what [Writer.Store] and the consumer's housekeeping need: else it would be
// found out with the first event.
func checkRights(ctx context.Context, conn *pgx.Conn) error {
	var me string
	var missing *string
	err := conn.QueryRow(ctx, `
		SELECT current_user, string_agg(what, ', ' ORDER BY n)
		FROM (VALUES
			(0, 'SELECT on all tables', has_table_privilege('public.log_events', 'SELECT') AND has_table_privilege('public.event_keys', 'SELECT')
				AND has_table_privilege('public.users', 'SELECT') AND has_table_privilege('public.review_sessions', 'SELECT')
				AND has_table_privilege('public.retired_months', 'SELECT')),
			(1, 'INSERT on log_events', has_column_privilege('public.log_events', 'event_id', 'INSERT')),
			(2, 'INSERT on source of log_events', has_column_privilege('public.log_events', 'source', 'INSERT')),
			(3, 'INSERT on event_keys', has_column_privilege('public.event_keys', 'event_key', 'INSERT')),
			(4, 'INSERT on users', has_column_privilege('public.users', 'username', 'INSERT')),
			(5, 'INSERT on review_sessions', has_column_privilege('public.review_sessions', 'session_id', 'INSERT')),
			(6, 'UPDATE on review_sessions', has_column_privilege('public.review_sessions', 'end_time', 'UPDATE')),
			(7, 'EXECUTE on ensure_partitions', has_function_privilege('public.ensure_partitions(integer)', 'EXECUTE')),
			(8, 'EXECUTE on note_horizon', has_function_privilege('public.note_horizon()', 'EXECUTE')),
			(9, 'EXECUTE on analyze_trail', has_function_privilege('public.analyze_trail(boolean)', 'EXECUTE')),
			(10, 'EXECUTE on default_partition_rows', has_function_privilege('public.default_partition_rows()', 'EXECUTE'))
		) needed (n, what, has)
		WHERE NOT has`).Scan(&me, &missing)
	if err != nil || missing == nil {
		return err
	}
	return fmt.Errorf("%w: %s has no %s; DATABASE_USER is for the role that `migrate roles` makes for consumers", ErrLacksRights, me, *missing)
}

// checkRole asks about every role that this one is or can SET ROLE to: it may do more than its own
// rights allow.
func checkRole(ctx context.Context, conn *pgx.Conn) error {
	var me, role, table string
	err := conn.QueryRow(ctx, `
		SELECT current_user, r.rolname, t.relid::text
		FROM pg_roles r, pg_partition_tree('public.log_events') t
		WHERE pg_has_role(current_user, r.oid, 'MEMBER')
			AND (has_table_privilege(r.oid, t.relid, 'UPDATE, DELETE, TRUNCATE')
				OR has_any_column_privilege(r.oid, t.relid, 'UPDATE'))
		ORDER BY r.rolname <> current_user, r.rolname, t.level, t.relid
		LIMIT 1`).Scan(&me, &role, &table)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return checkCreateRole(ctx, conn)
	case err != nil:
		return err
	case me != role:
		return fmt.Errorf("%w: %s can become %s, which may change %s", ErrOwnerRole, me, role, table)
	}
	return fmt.Errorf("%w: %s may change %s", ErrOwnerRole, me, table)
}

// checkCreateRole looks for the back door of PostgreSQL 15: until 16, CREATEROLE could join any
// role that is not a superuser, the owner too.
func checkCreateRole(ctx context.Context, conn *pgx.Conn) error {
	var me string
	err := conn.QueryRow(ctx, `
		SELECT rolname FROM pg_roles
		WHERE rolname = current_user AND rolcreaterole AND current_setting('server_version_num')::int < 160000`).Scan(&me)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return fmt.Errorf("%w: %s has CREATEROLE, and can make itself a member of the owner", ErrOwnerRole, me)
}

// HasEvent reports whether the trail has an event with this id, as durably as the database is set
// to make it.
func HasEvent(ctx context.Context, cfg Config, id uuid.UUID) (found bool, err error) {
	err = withConn(ctx, cfg, func(conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM public.log_events WHERE event_id = $1)", [16]byte(id)).Scan(&found)
		if err != nil || !found {
			return err
		}
		return durable.Sync(ctx, conn)
	})
	if err != nil {
		return false, fmt.Errorf("looking for event %s: %w", id, err)
	}
	return found, nil
}
