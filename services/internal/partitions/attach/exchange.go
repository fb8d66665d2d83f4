package attach

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/partitions/dependents"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pglock"
)

// A default partition that is large is not emptied row by row while others wait: it is exchanged.
//
//  1. A table like it is made, NextDefault.
//  2. Its rows are copied in slices, each a transaction: those of the month into the month's table,
//     which is still detached, the others into NextDefault. Nobody sees the copies, and everybody
//     the originals. Again and again, what has come meanwhile is copied, too, until that is little.
//  3. One short transaction copies the rest, takes the default partition out of the trail and the
//     two tables in. From one moment to the next, each event is found in the one or the other.
//  4. The former default partition, FormerDefault, is private now. It is held against the trail row
//     by row, what conflicts is set aside, and it is dropped, in one transaction.
//
// Views, foreign keys and the like that name the default partition would go on with the former one.
// So there is no exchange while there are such: 3 looks once more, with its locks. Those that name
// the former one after 3 keep 4 from dropping it, and from nothing else.
//
// Before 3, all that is left of a process that was killed is copies, of which the next attach makes
// use, and which undo takes back before the month is exported otherwise. After 3, whatever comes
// next does 4 first.
const (
	NextDefault   = "log_events_default_next"
	FormerDefault = "log_events_default_former"
)

// ensureLock is the table that ensure_partitions locks while it works (migration 12).
const ensureLock = "attached_months"

// commentPrefix is the comment on both, before the month.
const commentPrefix = "Of migrate partitions, which attaches "

func (at *Attacher) exchange(ctx context.Context, m month.Month, columns columnList) (a Attachment, err error) {
	if err := at.requireExchangeable(ctx); err != nil {
		return a, err
	}
	why, err := at.dropKeptFormer(ctx)
	if err == nil && why != "" {
		err = fmt.Errorf("log_events_default is large and has to be exchanged for a new table, and %s, which was exchanged before, has to be dropped first: %s", FormerDefault, why)
	}
	if err != nil {
		return a, err
	}
	ensure, err := at.holdEnsure(ctx)
	if err != nil {
		return a, err
	}
	defer func() { _ = ensure.Release(context.WithoutCancel(ctx)) }()
	if err := at.makeNext(ctx, m, columns); err != nil {
		return a, err
	}
	at.Failpoint("next made")
	at.Log.InfoContext(ctx, "the default partition is large: its events are copied while others read and write, and then it is exchanged", "month", m.String())
	c := copying{at: at, month: m, columns: columns}
	err = at.Locks.Retry(ctx, []string{"log_events", "log_events_default", m.Table()}, func() error {
		if err := c.catchUp(ctx); err != nil {
			return err
		}
		at.Failpoint("copied")
		if err := ensure.Check(ctx); err != nil {
			return err
		}
		// Who has a snapshot from before the copies, and not looked at the trail yet, would find
		// neither.
		if err := at.Locks.WaitForOlderSnapshots(ctx); err != nil {
			return err
		}
		_, err := at.Conn.PgConn().Exec(ctx, c.swap()).ReadAll()
		if dependents.Refused(err) { // since a moment ago
			if named := at.requireExchangeable(ctx); named != nil {
				return named
			}
		}
		return err
	})
	if err != nil {
		return a, err
	}
	at.Failpoint("exchanged")
	_ = ensure.Release(ctx)
	return at.reconcile(ctx, m)
}

// requireExchangeable refuses to exchange a default partition that others depend on, or that has
// something of its own: they would stay with the former one, which is no part of the trail.
func (at *Attacher) requireExchangeable(ctx context.Context) error {
	names, err := dependents.Names(ctx, at.Conn, "log_events_default", exchangeRefused...)
	if err == nil && names != "" {
		err = fmt.Errorf("log_events_default is large and has to be exchanged for a new table, and these would stay with the former one: %s; "+
			"drop them, or have them use log_events; those that are to be on it can be made again after the attach", names)
	}
	return err
}

var exchangeRefused = []string{dependents.DropRefused, dependents.Published, dependents.OwnObjects}

// holdEnsure keeps ensure_partitions from moving rows out of the default partition. It does nothing
// then, and is called again in an hour.
func (at *Attacher) holdEnsure(ctx context.Context) (*pglock.TableLock, error) {
	l, err := at.Locks.OpenTable(ctx, ensureLock)
	if err != nil {
		return nil, err
	}
	if err := at.Locks.Retry(ctx, nil, func() error { return l.Try(ctx) }); err != nil {
		return nil, errors.Join(err, l.Release(context.WithoutCancel(ctx)))
	}
	return l, nil
}

// monthOfOwnTable reports whether a table of ours is there, and for which month.
func (at *Attacher) monthOfOwnTable(ctx context.Context, table string) (m month.Month, there bool, err error) {
	var comment string
	const question = `SELECT coalesce(obj_description(oid, 'pg_class'), '') FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relname = $1`
	err = at.Conn.QueryRow(ctx, question, table).Scan(&comment)
	if errors.Is(err, pgx.ErrNoRows) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	name, ours := strings.CutPrefix(comment, commentPrefix)
	if m, err = month.Parse(name); !ours || err != nil {
		return m, true, fmt.Errorf("there is a table %s that `migrate partitions` has not made, and needs the name of: rename it", table)
	}
	return m, true, nil
}

// timedOut is a statement that took longer than it may.
func timedOut(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "57014"
}
