package partitions

import (
	"context"
	"fmt"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pglock"
)

// Ensure makes the partitions from last month to monthsAhead (1 to 24) months from now where they
// are missing, moves events of months that had none out of the default partition, and returns how
// many it made. The consumer does the same every hour; this is for a trail whose consumers are
// stopped, and to know at once.
func (s *Session) Ensure(ctx context.Context, monthsAhead int) (made int, err error) {
	err = s.locks.Retry(ctx, []string{"review_sessions", "log_events", "log_events_default"}, func() error {
		var n int
		// As with detachStatements, nobody waits for a standby while others wait for the locks:
		// sync does.
		const question = "SELECT n FROM set_config('synchronous_commit', 'off', true), public.ensure_partitions($1) n"
		if err := s.conn.QueryRow(ctx, question, monthsAhead).Scan(&n); err != nil {
			return err
		}
		made += n
		return s.requireAttached(ctx, monthsAhead)
	})
	if err == nil {
		err = s.sync(ctx)
	}
	if err != nil {
		return made, fmt.Errorf("making partitions: %w", err)
	}
	return made, nil
}

// requireAttached looks whether the months are there: ensure_partitions leaves a name alone that a
// table has which is no partition, and everything to another session that is at it.
func (s *Session) requireAttached(ctx context.Context, monthsAhead int) error {
	now, err := s.now(ctx)
	if err != nil {
		return err
	}
	tables, err := s.tables(ctx)
	if err != nil {
		return err
	}
	state := map[month.Month]State{}
	for _, p := range tables {
		state[p.Month] = p.State
	}
	for ahead := -1; ahead <= monthsAhead; ahead++ {
		m := month.Of(now).AddMonths(ahead)
		switch state[m] {
		case Attached:
		case Detached:
			return fmt.Errorf("%s is detached: attach it again, or its events stay in the default partition", m.Table())
		default:
			return pglock.ErrBusy
		}
	}
	return nil
}
