package attach

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/partitions/dependents"
	"github.com/trailpost/trailpost/services/internal/pgident"
	"github.com/trailpost/trailpost/services/internal/pglock"
)

// keptComment is the comment on a former default partition that was compared and could not be
// dropped.
const keptComment = "Of migrate partitions, which drops it when nothing depends on it any more; all its events are in the trail or in log_events_conflicts"

// keepFormer leaves the former default partition, which is compared, to those that depend on it.
// Nobody can store through them any more what nobody would compare.
const keepFormer = `
	ALTER TABLE public.` + FormerDefault + ` ADD CONSTRAINT no_more_events CHECK (false) NOT VALID;
	COMMENT ON TABLE public.` + FormerDefault + ` IS '` + keptComment + `'`

// dropOrKeepFormer ends reconcile's transaction, in which the table is locked exclusively. It
// returns the names of those that it was kept for.
func dropOrKeepFormer(ctx context.Context, tx pgx.Tx) (names string, err error) {
	if names, err = dependents.Names(ctx, tx, FormerDefault, dependents.DropRefused, dependents.Published); err != nil {
		return "", err
	}
	end := keepFormer
	if names == "" {
		end = "DROP TABLE " + pgident.Public(FormerDefault)
	}
	_, err = tx.Exec(ctx, end)
	return names, err
}

// dropKeptFormer drops a former default partition that was kept. It returns why it can't yet; "":
// there is no such table any more. Its month may have been detached since: it is not compared
// again.
func (at *Attacher) dropKeptFormer(ctx context.Context) (why string, err error) {
	var kept bool
	const question = "SELECT coalesce(obj_description(to_regclass($1), 'pg_class') = $2, false)"
	if err := at.Conn.QueryRow(ctx, question, pgident.Public(FormerDefault), keptComment).Scan(&kept); err != nil || !kept {
		return "", err
	}
	var names string
	err = durable.Tx(ctx, at.Conn, pgx.TxOptions{}, func(tx pgx.Tx) (err error) {
		if names, err = dependents.Names(ctx, tx, FormerDefault, dependents.DropRefused, dependents.Published); err != nil || names != "" {
			return err
		}
		_, err = tx.Exec(ctx, "SET LOCAL lock_timeout = '200ms'; DROP TABLE "+pgident.Public(FormerDefault))
		return err
	})
	switch {
	case pglock.Contended(err) || dependents.Refused(err):
		return "others use it", nil
	case err != nil:
		return "", err
	case names != "":
		return "others depend on it: " + names, nil
	}
	at.Log.InfoContext(ctx, "the former default partition is dropped: nothing depends on it any more", "table", FormerDefault)
	return "", nil
}

func (at *Attacher) warnKept(ctx context.Context, why string) {
	at.Log.WarnContext(ctx, "the former default partition is no part of the trail and should be dropped: drop what depends on it, or have it use log_events; the next command drops the table",
		"table", FormerDefault, "reason", why)
}
