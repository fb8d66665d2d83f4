package partitions

import (
	"context"
	"fmt"
	"slices"

	"github.com/trailpost/trailpost/services/internal/partitions/attach"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

// Attach takes detached months back into the trail, and with them the events of those months that
// came meanwhile. It returns those that it took.
//
// Of two events of one id the month's own stays in the trail: it was there first. The other would
// have been a duplicate, or a dead letter, if the month had been there.
func (s *Session) Attach(ctx context.Context, months ...month.Month) ([]attach.Attachment, error) {
	if err := s.takeWorkLock(ctx); err != nil {
		return nil, fmt.Errorf("attaching: %w", err)
	}
	// Another, which was killed, may have been as good as done.
	done, all := s.reconciled, len(months) == 0
	s.reconciled = nil
	months = slices.DeleteFunc(slices.Clone(months), func(m month.Month) bool {
		return slices.ContainsFunc(done, func(a attach.Attachment) bool { return a.Month == m })
	})
	if len(months) == 0 && !all {
		return done, s.sync(ctx)
	}
	found, err := s.inState(ctx, Detached, months)
	if err != nil {
		return done, fmt.Errorf("attaching: %w", err)
	}
	for _, m := range found {
		a, err := s.attacher().Attach(ctx, m)
		if err != nil {
			return done, fmt.Errorf("attaching %s: %w", m, err)
		}
		done = append(done, a)
	}
	if err := s.sync(ctx); err != nil {
		return done, fmt.Errorf("attaching: %w", err)
	}
	return done, nil
}

// fewBytes and sliceRows are attach.Attacher's. (Variables for tests.)
var (
	fewBytes  int64 = 4 << 20
	sliceRows       = 5000
)

// attacher does the work of attach on this session.
func (s *Session) attacher() *attach.Attacher {
	return &attach.Attacher{
		Conn: s.conn, Log: s.log, Locks: s.locks, FewBytes: fewBytes, SliceRows: sliceRows, Failpoint: failpoint,
	}
}
