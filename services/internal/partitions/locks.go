package partitions

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// The pause between two attempts grows from the one to the other. Inserts have waited up to 200 ms for an attempt;
// what they missed is made up for in a pause.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
)

// errBusy says that another session does what was to be done, and has not finished.
var errBusy = errors.New("another session is at it")

// contended reports whether an error passes by itself: a lock that others hold, a time limit of our own, a deadlock.
func contended(err error) bool {
	if errors.Is(err, errBusy) || errors.Is(err, errOldSnapshot) {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "55P03" || pg.Code == "57014" || strings.HasPrefix(pg.Code, "40"))
}

// retryLocked does f, which gives up by itself when it can't have its locks on tables soon, until it has had them, or as
// long as the session's patience. Its error names the transactions that were in the way at every attempt.
func (s *Session) retryLocked(ctx context.Context, tables []string, f func() error) error {
	var (
		start = time.Now()
		wait  = firstPause
		held  holders
	)
	for attempt := 1; ; attempt++ {
		if err := s.lock.check(ctx); err != nil {
			return err
		}
		err := f()
		if err == nil || !contended(err) || ctx.Err() != nil {
			return err
		}
		now, lookErr := s.holders(ctx, tables)
		if lookErr != nil {
			return errors.Join(err, lookErr)
		}
		if held = now.andBefore(held, attempt); attempt == 1 {
			s.log.InfoContext(ctx, "Waiting for locks that others hold, and giving way meanwhile", "patience", s.patience)
		}
		if time.Since(start)+wait > s.patience {
			return fmt.Errorf("gave up after %d attempts in %v%s: %w",
				attempt, time.Since(start).Round(time.Millisecond), held, err)
		}
		if err := pause(ctx, wait/2+rand.N(wait)); err != nil {
			return err
		}
		wait = min(2*wait, lastPause)
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
