package pglock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/pgident"
	"github.com/trailpost/trailpost/services/internal/retry"
)

// The pause between two attempts grows from the one to the other. Inserts have waited up to 200 ms
// for an attempt; what they missed is made up for in a pause.
const (
	firstPause = 250 * time.Millisecond
	lastPause  = 5 * time.Second
)

// ErrBusy says that another session does what was to be done, and has not finished.
var ErrBusy = errors.New("another session is at it")

// Contended reports whether an error passes by itself: a lock that others hold, a time limit of our
// own, a deadlock.
func Contended(err error) bool {
	if errors.Is(err, ErrBusy) || errors.Is(err, errOldSnapshot) {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "55P03" || pg.Code == "57014" || strings.HasPrefix(pg.Code, "40"))
}

// Locker takes locks that others may hold, and gives way to them meanwhile.
type Locker struct {
	Conn *pgx.Conn
	// Settings are the statements for connections that hold a TableLock, as durable.Options has
	// them.
	Settings string
	Log      *slog.Logger
	// Patience is how long a lock that others hold is tried for, again and again.
	Patience time.Duration
	// Guard, if not nil, must still be held at every attempt.
	Guard *TableLock
}

// Retry does f, which gives up by itself when it can't have its locks on tables soon, until it has
// had them, or as long as the patience lasts. Its error names the transactions that were in the way
// at every attempt.
func (l *Locker) Retry(ctx context.Context, tables []string, f func() error) error {
	var (
		start = time.Now()
		wait  = firstPause
		held  holders
	)
	for attempt := 1; ; attempt++ {
		if err := l.Guard.Check(ctx); err != nil {
			return err
		}
		err := f()
		if err == nil || !Contended(err) || ctx.Err() != nil {
			return err
		}
		now, lookErr := l.holders(ctx, tables)
		if lookErr != nil {
			return errors.Join(err, lookErr)
		}
		if held = now.andBefore(held, attempt); attempt == 1 {
			l.Log.InfoContext(ctx, "waiting for locks that others hold, and giving way meanwhile", "patience", l.Patience, "holders", now.names())
		}
		if time.Since(start)+wait > l.Patience {
			return fmt.Errorf("gave up after %d attempts in %v%s: %w",
				attempt, time.Since(start).Round(time.Millisecond), held, err)
		}
		if ended := retry.Sleep(ctx, retry.Around(wait)); ended != nil {
			return fmt.Errorf("%w after %d attempts%s: %w", ended, attempt, held, err)
		}
		wait = min(2*wait, lastPause)
	}
}

// Exclusive locks a table that is not part of the trail exclusively. It waits for other holders by
// polling, as long as the patience lasts: waiting in the queue of the lock would take a transaction
// id, and hold up followers of the trail.
func (l *Locker) Exclusive(ctx context.Context, tx pgx.Tx, table string) error {
	for start := time.Now(); ; {
		held, err := l.holders(ctx, []string{table})
		if err != nil {
			return err
		}
		if len(held) == 0 {
			break
		}
		if time.Since(start) > l.Patience {
			return fmt.Errorf("gave up after %v%s", l.Patience, held)
		}
		if err := retry.Sleep(ctx, min(time.Second, l.Patience/4)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '1s'; LOCK TABLE ONLY "+pgident.Public(table)+" IN ACCESS EXCLUSIVE MODE")
	return err
}
