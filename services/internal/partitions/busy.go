package partitions

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The pause between two attempts grows from the one to the other. Inserts have waited up to 200 ms for an attempt;
// what they missed is made up for in a pause.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
)

// errOtherAtIt says that another session does what was to be done, and has not finished.
var errOtherAtIt = errors.New("another session is at it")

// errOldSnapshot says that a transaction sees the trail as it was before something was prepared for it.
var errOldSnapshot = errors.New("a transaction has an older snapshot")

// contended reports whether an error passes by itself: a lock that others hold, a time limit of our own, a deadlock.
func contended(err error) bool {
	if errors.Is(err, errOtherAtIt) || errors.Is(err, errOldSnapshot) {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "55P03" || pg.Code == "57014" || strings.HasPrefix(pg.Code, "40"))
}

// untilFree does f, which gives up by itself when it can't have its locks on tables soon, until it has had them, or as
// long as the session's patience. Its error names the transactions that were in the way at every attempt.
func (s *Session) untilFree(ctx context.Context, tables []string, f func() error) error {
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

// holder is a transaction that has a lock.
type holder struct {
	PID         int32
	Transaction string // its virtual id: a session's next transaction has another
	User        string
	Application string
}

type holders []holder

// holders lists other sessions' transactions with a lock on one of the tables.
func (s *Session) holders(ctx context.Context, tables []string) (holders, error) {
	return holdersOf(ctx, s.conn, tables, nil)
}

// holdersOf is the same by a connection, but for locks of some modes.
func holdersOf(ctx context.Context, conn *pgx.Conn, tables, except []string) (holders, error) {
	rows, err := conn.Query(ctx, `
		SELECT DISTINCT l.pid, l.virtualtransaction, coalesce(a.usename, ''), coalesce(a.application_name, '')
		  FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
		 WHERE l.granted AND l.locktype = 'relation' AND l.pid <> pg_backend_pid()
		   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		   AND l.relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY ($1))
		   AND l.mode <> ALL (coalesce($2::text[], '{}'))
		 ORDER BY l.pid`, tables, except)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[holder])
}

// outlast waits a moment until no other session of this database has a snapshot that it has now. errOldSnapshot names those
// that have theirs for longer.
func (s *Session) outlast(ctx context.Context) error {
	old, err := s.snapshots(ctx)
	for start := time.Now(); err == nil && len(old) > 0; {
		if time.Since(start) > time.Second {
			return fmt.Errorf("%w%s", errOldSnapshot, old)
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		var now holders
		now, err = s.snapshots(ctx)
		old = now.andBefore(old, 2)
	}
	return err
}

// snapshots lists other sessions' transactions that have a snapshot, each with it. (Of a READ COMMITTED one, each statement has a
// new one, which looks like the one before it where an older transaction is still open: then it is waited for as a whole.)
func (s *Session) snapshots(ctx context.Context) (holders, error) {
	rows, err := s.conn.Query(ctx, `
		SELECT a.pid, concat(l.virtualtransaction, ' ', a.backend_xmin), coalesce(a.usename, ''), coalesce(a.application_name, '')
		  FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'virtualxid' AND l.granted
		 WHERE a.backend_xmin IS NOT NULL AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid() AND a.datname = current_database()`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[holder])
}

// andBefore keeps those that were there at the attempts before, too.
func (h holders) andBefore(before holders, attempt int) holders {
	if attempt == 1 {
		return h
	}
	var both holders
	for _, now := range h {
		for _, then := range before {
			if now == then {
				both = append(both, now)
			}
		}
	}
	return both
}

// String is for the middle of an error.
func (h holders) String() string {
	if len(h) == 0 {
		return ""
	}
	return "; all that time the tables were in use by " + h.names()
}

func (h holders) names() string {
	names := make([]string, len(h))
	for i, one := range h {
		names[i] = fmt.Sprintf("pid %d (%s, %q)", one.PID, one.User, one.Application)
	}
	return strings.Join(names, ", ")
}
