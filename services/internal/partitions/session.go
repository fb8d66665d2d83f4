package partitions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/partitions/attach"
	"github.com/trailpost/trailpost/services/internal/pglock"
)

// DefaultPatience is how long locks are tried for.
const DefaultPatience = 10 * time.Minute

// Options are what a Session needs to know. The zero value is the default of each.
type Options struct {
	// Log is told about each step.
	Log *slog.Logger
	// MinAge is the age that every event of a month must have before the month may be detached or
	// dropped, and an event key. Less than LeastAge is LeastAge.
	MinAge time.Duration
	// Patience is how long a lock that others hold is tried for, again and again; 0 is
	// DefaultPatience.
	Patience time.Duration
}

// ErrNotOwner is a role that does not own the trail.
var ErrNotOwner = errors.New("only the owner of the trail may look after its partitions")

// ErrAtWork says that another session is changing partitions of this database.
var ErrAtWork = errors.New("another `migrate partitions` is at work in this database")

// Session is the trail's owner at work on its partitions, on one connection. It is not safe for
// concurrent use.
type Session struct {
	conn       *pgx.Conn
	log        *slog.Logger
	minAge     time.Duration
	locks      *pglock.Locker
	lock       *pglock.TableLock // workLock, while it has it
	reconciled []attach.Attachment
}

// Open connects as the owner. Another role is ErrNotOwner. Where no server takes writes it connects
// to one that doesn't: List works there.
func Open(ctx context.Context, cc *pgx.ConnConfig, opts Options) (*Session, error) {
	conn, err := durable.Connect(ctx, cc, durable.Options{Settings: settings, ReadOnlyToo: true, Log: opts.Log})
	if err != nil {
		return nil, err
	}
	s := &Session{conn: conn, log: opts.Log, minAge: max(opts.MinAge, LeastAge)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if opts.Patience == 0 {
		opts.Patience = DefaultPatience
	}
	s.locks = &pglock.Locker{Conn: conn, Settings: settings, Log: s.log, Patience: opts.Patience}
	if err := s.requireOwner(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// settings are the session's, whatever the role's are: a month's text, which is hashed, must not
// depend on where it is read.
const settings = `
	SELECT set_config('search_path', 'pg_catalog', false), set_config('TimeZone', 'UTC', false),
		set_config('default_transaction_isolation', 'read committed', false),
		set_config('default_transaction_read_only', 'off', false)`

func (s *Session) requireOwner(ctx context.Context) error {
	var (
		me, owner *string
		owns      bool
		migrated  bool
	)
	const who = `
		SELECT current_user, pg_get_userbyid(c.relowner), coalesce(pg_has_role(current_user, c.relowner, 'USAGE'), false),
		       to_regproc('public.drop_event_keys') IS NOT NULL
		  FROM (SELECT) always LEFT JOIN pg_class c ON c.oid = to_regclass('public.log_events')`
	if err := s.conn.QueryRow(ctx, who).Scan(&me, &owner, &owns, &migrated); err != nil {
		return err
	}
	switch {
	case owner != nil && !owns:
		return fmt.Errorf("%w: that is %s, not %s", ErrNotOwner, *owner, *me)
	case owner == nil || !migrated:
		return errors.New("the database's schema is too old: run `migrate up`")
	}
	return nil
}

// Close ends the session.
func (s *Session) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(s.lock.Release(ctx), s.conn.Close(ctx))
}

// workWait is how long another session is waited for: a process that was killed a moment ago still
// has its session.
const workWait = 15 * time.Second

// workLock is the table whose lock lets one session at a time change partitions.
const workLock = "retired_months"

// takeWorkLock makes this the one session that changes partitions, until it is closed, and first
// finishes what another has left.
func (s *Session) takeWorkLock(ctx context.Context) error {
	if s.lock != nil {
		return nil
	}
	l, err := s.locks.OpenTable(ctx, workLock)
	if err != nil {
		return err
	}
	if err := l.TryFor(ctx, min(workWait, s.locks.Patience)); err != nil {
		if errors.Is(err, pglock.ErrBusy) {
			err = fmt.Errorf("%w (%w)", ErrAtWork, err)
		}
		return errors.Join(err, l.Release(context.WithoutCancel(ctx)))
	}
	s.lock, s.locks.Guard = l, l
	a, done, err := s.attacher().ReconcileLeft(ctx)
	if done {
		s.reconciled = append(s.reconciled, a)
	}
	return err
}

// sync waits until what this session has changed, and what it found to be done already, is as
// durable as the database is set to make it. It comes at the end of all that says "done", and after
// the locks are free: a standby may be away.
func (s *Session) sync(ctx context.Context) error { return durable.Sync(ctx, s.conn) }

// now is the database's clock.
func (s *Session) now(ctx context.Context) (now time.Time, err error) {
	err = s.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now, err
}
