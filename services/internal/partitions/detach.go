package partitions

import (
	"context"
	"fmt"
	"time"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// Older returns the months whose every event is older than age and that are attached or detached,
// oldest first. An age below the least is a *TooYoungError.
func (s *Session) Older(ctx context.Context, age time.Duration) ([]Partition, error) {
	if age < s.minAge {
		return nil, &TooYoungError{Asked: age, Least: s.minAge}
	}
	now, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	tables, err := s.tables(ctx)
	if err != nil {
		return nil, err
	}
	var older []Partition
	for _, p := range tables {
		if p.State != Default && now.Sub(p.Month.End()) >= age {
			older = append(older, p)
		}
	}
	return older, nil
}

// Detach takes every month whose youngest event is older than age out of the trail, each in a
// transaction of its own, and returns those that it took. Their tables stay, with all rows. An age
// below the least is a *TooYoungError.
func (s *Session) Detach(ctx context.Context, age time.Duration) ([]month.Month, error) {
	older, err := s.Older(ctx, age)
	if err != nil {
		return nil, fmt.Errorf("detaching: %w", err)
	}
	var done []month.Month
	for _, p := range older {
		if p.State != Attached {
			continue
		}
		if err := s.detach(ctx, p.Month); err != nil {
			return done, fmt.Errorf("detaching: %w", err)
		}
		done = append(done, p.Month)
	}
	if err := s.sync(ctx); err != nil {
		return done, fmt.Errorf("detaching: %w", err)
	}
	return done, nil
}

func (s *Session) detach(ctx context.Context, m month.Month) error {
	if err := s.takeWorkLock(ctx); err != nil {
		return err
	}
	start := time.Now()
	statements := fmt.Sprintf(detachStatements, pgident.Public(m.Table()))
	err := s.locks.Retry(ctx, []string{"log_events", "log_events_default", m.Table()}, func() error {
		_, err := s.conn.PgConn().Exec(ctx, statements).ReadAll()
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", m, err)
	}
	s.log.InfoContext(ctx, "month detached", "month", m.String(), "table", m.Table(), "seconds", time.Since(start).Seconds())
	failpoint("detached")
	return nil
}

// detachStatements goes to the server in one message, which makes it one transaction, and one that
// needs nothing more from us while it has its locks: nobody waits for a client that stalls.
//
// lock_timeout is for each lock, statement_timeout for all of them. With its locks, the rest takes
// milliseconds; where it doesn't, it gives way, too. The log need not reach the disk, or a standby,
// while others wait: sync, or what else comes after and does reach it, brings this along, and if
// nothing does, the month is attached again, and no event the less.
const detachStatements = `
SET LOCAL lock_timeout = '200ms';
SET LOCAL statement_timeout = '200ms';
SET LOCAL synchronous_commit = off;
LOCK TABLE ONLY public.log_events, ONLY public.log_events_default, ONLY %[1]s IN ACCESS EXCLUSIVE MODE;
SET LOCAL statement_timeout = '400ms';
ALTER TABLE public.log_events DETACH PARTITION %[1]s;
DO $do$
BEGIN
    EXECUTE format('COMMENT ON TABLE %[1]s IS %%L', 'Detached from log_events at ' || now() || ' by migrate partitions; no part of the trail any more');
END
$do$`

// failpoint is called after each step. Tests end the process there.
var failpoint = func(_ string) {}
