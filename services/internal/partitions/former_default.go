package partitions

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// keptComment is the comment on a former default partition that was compared and could not be dropped.
const keptComment = "Of migrate partitions, which drops it when nothing depends on it any more; all its events are in the trail or in log_events_conflicts"

// keepFormer leaves the former default partition, which is compared, to those that depend on it. Nobody can store through
// them any more what nobody would compare.
const keepFormer = `
	ALTER TABLE public.` + formerDefault + ` ADD CONSTRAINT no_more_events CHECK (false) NOT VALID;
	COMMENT ON TABLE public.` + formerDefault + ` IS '` + keptComment + `'`

// dropOrKeepFormer ends reconcile's transaction, in which the table is locked exclusively. It returns the names of those that it was kept for.
func dropOrKeepFormer(ctx context.Context, tx pgx.Tx) (names string, err error) {
	if names, err = dependents(ctx, tx, formerDefault, dropRefused, published); err != nil {
		return "", err
	}
	end := keepFormer
	if names == "" {
		end = "DROP TABLE " + pgident.Public(formerDefault)
	}
	_, err = tx.Exec(ctx, end)
	return names, err
}

// dropKeptFormer drops a former default partition that was kept. It returns why it can't yet; "": there is no such table any
// more. Its month may have been detached since: it is not compared again.
func (s *Session) dropKeptFormer(ctx context.Context) (why string, err error) {
	var kept bool
	const question = "SELECT coalesce(obj_description(to_regclass($1), 'pg_class') = $2, false)"
	if err := s.conn.QueryRow(ctx, question, pgident.Public(formerDefault), keptComment).Scan(&kept); err != nil || !kept {
		return "", err
	}
	var names string
	err = durable.Tx(ctx, s.conn, pgx.TxOptions{}, func(tx pgx.Tx) (err error) {
		if names, err = dependents(ctx, tx, formerDefault, dropRefused, published); err != nil || names != "" {
			return err
		}
		_, err = tx.Exec(ctx, "SET LOCAL lock_timeout = '200ms'; DROP TABLE "+pgident.Public(formerDefault))
		return err
	})
	switch {
	case contended(err) || isDependedOn(err):
		return "others use it", nil
	case err != nil:
		return "", err
	case names != "":
		return "others depend on it: " + names, nil
	}
	s.log.InfoContext(ctx, "The former default partition is dropped: nothing depends on it any more", "table", formerDefault)
	return "", nil
}

func (s *Session) warnKept(ctx context.Context, why string) {
	s.log.WarnContext(ctx, "The former default partition is no part of the trail and should be dropped: drop what depends on it, or have it use log_events; the next command drops the table",
		"table", formerDefault, "reason", why)
}
