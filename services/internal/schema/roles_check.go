package schema

import (
	"context"
	"errors"
	"fmt"
)

func (cfg RolesConfig) validate() error {
	var faults []error
	if cfg.Database == "" {
		faults = append(faults, errors.New("the database has no name"))
	}
	// A group may log in itself, as the one member of it that is needed; the others' names are not
	// for that.
	taken := map[string]string{WriterGroup: "the writer", ReaderGroup: "the reader"}
	for _, l := range []struct{ what, name string }{
		{"the owner", cfg.Owner.Name}, {"the writer", cfg.Writer.Name}, {"the reader", cfg.Reader.Name},
	} {
		if l.name == "" {
			faults = append(faults, fmt.Errorf("%s has no name", l.what))
			continue
		}
		if other, ok := taken[l.name]; ok && other != l.what {
			faults = append(faults, fmt.Errorf("%s can't be the role %s, which is %s's: each needs its own", l.what, l.name, other))
		}
		taken[l.name] = l.what
	}
	return errors.Join(faults...)
}

// requireNoMore refuses a writer or reader that may do more than such a role is for, before it gets
// a password that many know: the administrator, a superuser, or one that could make itself more.
func (a admin) requireNoMore(ctx context.Context, cfg RolesConfig) error {
	for _, l := range []struct{ what, name string }{{"the writer", cfg.Writer.Name}, {"the reader", cfg.Reader.Name}} {
		var why string
		err := a.conn.QueryRow(ctx, `
			SELECT coalesce((
				SELECT concat_ws(' ', CASE WHEN r.rolname <> l.rolname THEN 'is a member of ' || r.rolname || ', which' END, why)
				FROM pg_roles l, pg_roles r, LATERAL (
					SELECT CASE
						WHEN r.rolname = current_user THEN 'is the administrator, who makes the roles'
						WHEN r.rolname = $2 THEN 'is the owner'
						WHEN r.rolsuper THEN 'is a superuser'
						WHEN r.rolcreaterole THEN 'has CREATEROLE'
						WHEN r.rolbypassrls THEN 'has BYPASSRLS'
						WHEN r.rolreplication THEN 'has REPLICATION'
						WHEN r.rolname IN ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program', 'pg_read_server_files')
							THEN 'is a role of PostgreSQL that may do more'
					END AS why
				) AS reason
				WHERE l.rolname = $1 AND why IS NOT NULL
					AND (r.oid = l.oid OR NOT l.rolsuper AND pg_has_role(l.oid, r.oid, 'MEMBER'))
				ORDER BY r.oid <> l.oid, r.rolname
				LIMIT 1), '')`, l.name, cfg.Owner.Name).Scan(&why)
		if err != nil {
			return err
		}
		if why != "" {
			return fmt.Errorf("%s can't be the role %s, which %s: take another name, and `migrate roles` makes it", l.what, l.name, why)
		}
	}
	return nil
}

// requireOwner refuses to migrate as a role that does not own the trail, where there is one.
func (d *driver) requireOwner(ctx context.Context) error {
	var (
		me, owner string
		owns      bool
	)
	err := d.conn.QueryRow(ctx, `
		SELECT current_user, coalesce(pg_get_userbyid(c.relowner), ''), coalesce(pg_has_role(current_user, c.relowner, 'USAGE'), true)
		FROM (SELECT) always LEFT JOIN pg_class c ON c.oid = to_regclass('public.log_events')`).Scan(&me, &owner, &owns)
	if err != nil || owns {
		return err
	}
	return fmt.Errorf("only the owner of the trail may migrate it: that is %s, not %s", owner, me)
}
