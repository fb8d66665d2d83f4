package partitions

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/dependents"
	"github.com/trailpost/trailpost/services/internal/partitions/export"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

// Retire detaches, exports into a directory and drops every month whose youngest event is older
// than age, one month after the other, oldest first, and returns those that it has brought to the
// end. It goes on where another was killed. The first error ends it; months that are done stay
// done. An age below the least is a *TooYoungError.
func (s *Session) Retire(ctx context.Context, dir string, age time.Duration) ([]month.Month, error) {
	older, err := s.Older(ctx, age)
	if err != nil {
		return nil, fmt.Errorf("retiring: %w", err)
	}
	var done []month.Month
	for _, p := range older {
		if err := s.retire(ctx, dir, p); err != nil {
			return done, fmt.Errorf("retiring %s: %w", p.Month, err)
		}
		done = append(done, p.Month)
	}
	if err := s.sync(ctx); err != nil {
		return done, fmt.Errorf("retiring: %w", err)
	}
	return done, nil
}

func (s *Session) retire(ctx context.Context, dir string, p Partition) error {
	// A month that can't be exported, or dropped, had better stay where it is.
	if err := dependents.RequireDroppable(ctx, s.conn, p.Table); err != nil {
		return err
	}
	if p.State == Attached {
		if err := export.CheckDir(dir); err != nil {
			return err
		}
		if err := s.detach(ctx, p.Month); err != nil {
			return err
		}
	}
	var r record
	err := s.withShareLock(ctx, p.Month, func(tx pgx.Tx) error {
		manifest, err := s.export(ctx, dir, p.Month)
		if err == nil {
			r, err = s.drop(ctx, tx, p.Month, recordOf(manifest))
		}
		return err
	})
	if err == nil {
		s.logDropped(ctx, p.Month, r)
	}
	return err
}
