package attach

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// reconcile holds the former default partition against the trail, row by row, sets aside what
// conflicts, writes down what became of the month's late events, and drops it, in one transaction.
// Where others depend on it by then, all is done but the dropping, and no other command has to wait
// for it.
func (at *Attacher) reconcile(ctx context.Context, m month.Month) (a Attachment, err error) {
	columns, err := at.columns(ctx)
	if err != nil {
		return a, err
	}
	a.Month = m
	var (
		lost []uuid.UUID
		kept string // for whom
	)
	err = durable.Tx(ctx, at.Conn, pgx.TxOptions{}, func(tx pgx.Tx) (err error) {
		// Reading takes no transaction id, and so doesn't hold up followers of the trail.
		if _, err := tx.Exec(ctx, `SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off;
			LOCK TABLE ONLY `+pgident.Public(FormerDefault)+` IN SHARE MODE`); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, replace(judgeFormer, m, columns)).Scan(&a.Late, &a.Duplicates, &a.Conflicts, &lost); err != nil {
			return err
		}
		if err := at.Locks.Exclusive(ctx, tx, FormerDefault); err != nil {
			return err
		}
		if len(lost) > 0 {
			// Only who owns the trail, and gives tx by hand, can have stored such. It gets where it
			// belongs.
			if _, err := tx.Exec(ctx, replace(storeMissing, m, columns), lost); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, replace(insertConflicts, m, columns), a.Conflicts); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO public.attached_months (month, late_events, duplicates, conflicts)
			VALUES ($1, $2, $3, $4)`, m.Start(), a.Late, a.Duplicates, len(a.Conflicts)); err != nil {
			return err
		}
		kept, err = dropOrKeepFormer(ctx, tx)
		at.Failpoint("reconciling")
		return err
	})
	if err != nil {
		return a, fmt.Errorf("the month is attached, and %s is to be compared and dropped yet, by whichever command comes next: %w", FormerDefault, err)
	}
	at.Failpoint("reconciled")
	if len(lost) > 0 {
		at.Log.WarnContext(ctx, "events had been stored in the default partition by hand, and were stored again", "event_ids", lost)
	}
	at.logAttached(ctx, a)
	if kept != "" {
		at.warnKept(ctx, "others depend on it: "+kept)
	}
	return a, nil
}

const judgeFormer = `
	WITH judged AS (
		SELECT d.event_id, d.event_id >= '$low' AND d.event_id < '$high' AS late, $verdict AS verdict
		  FROM ONLY public.` + FormerDefault + ` d LEFT JOIN public.log_events m ON m.event_id = d.event_id
	)
	SELECT count(*) FILTER (WHERE late AND verdict IN ('copied', 'missing')), count(*) FILTER (WHERE verdict = 'duplicate'),
	       coalesce(array_agg(event_id ORDER BY event_id) FILTER (WHERE verdict = 'conflict'), '{}'),
	       coalesce(array_agg(event_id ORDER BY event_id) FILTER (WHERE verdict = 'missing'), '{}')
	  FROM judged`

const storeMissing = `
	INSERT INTO public.log_events ($columns) SELECT $columns FROM ONLY public.` + FormerDefault + ` WHERE event_id = ANY ($1)`

const insertConflicts = `
	INSERT INTO public.log_events_conflicts (event_id, tx, month, event)
	SELECT event_id, tx, '$first', row_to_json(d)
	  FROM (SELECT $columns FROM ONLY public.` + FormerDefault + ` WHERE event_id = ANY ($1)) d
	ON CONFLICT DO NOTHING`

// ReconcileLeft reconciles what a process that was killed has left, and drops what was kept. It
// returns the month that it has brought to its end so, if there was one.
func (at *Attacher) ReconcileLeft(ctx context.Context) (a Attachment, done bool, err error) {
	why, err := at.dropKeptFormer(ctx)
	if err != nil {
		return a, false, err
	}
	if why != "" {
		at.warnKept(ctx, why)
		return a, false, nil
	}
	m, there, err := at.monthOfOwnTable(ctx, FormerDefault)
	if err != nil || !there {
		return a, false, err
	}
	a, err = at.reconcile(ctx, m)
	return a, err == nil, err
}
