package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/trailpost/trailpost/services/internal/event"
)

// unknownUser owns the sessions whose events have named no user. The migrations create it.
const unknownUser = "unknown"

// session is what events say about a session, or what the database knows of it.
type session struct {
	id         int64
	owner      string
	start, end pgtype.Timestamptz
}

// keepSessions creates the missing users and sessions that the events name, and updates sessions
// that change. Nearly always it only has to read.
func (p *writePlan) keepSessions(ctx context.Context, tx pgx.Tx, which []int) error {
	named := p.namedSessions(which)
	if len(named) == 0 {
		return nil
	}
	there, err := readSessions(ctx, tx, named)
	if err != nil {
		return err
	}
	var (
		changes []session // sessions that are missing, or differ
		owners  []string  // users whom those need
	)
	for _, s := range named {
		old, exists := there[s.id]
		takesOwner := !exists || old.owner == unknownUser && s.owner != unknownUser
		if takesOwner {
			owners = append(owners, s.owner)
		}
		if takesOwner || earlier(s.start, old.start) || earlier(old.end, s.end) || s.end.Valid && !old.end.Valid {
			changes = append(changes, s)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	slices.Sort(owners)
	return writeSessions(ctx, tx, slices.Compact(owners), changes)
}

// namedSessions folds events, in the order of their ids, into sessions, sorted by id.
func (p *writePlan) namedSessions(which []int) []session {
	var named []session
	at := make(map[int64]int) // by id
	for _, i := range which {
		e := &p.events[i]
		if e.Source != nil {
			continue
		}
		n, ok := at[e.SessionID]
		if !ok {
			n = len(named)
			at[e.SessionID] = n
			named = append(named, session{id: e.SessionID, owner: unknownUser})
		}
		s := &named[n]
		if s.owner == unknownUser && e.Username != "" {
			s.owner = e.Username
		}
		switch e.Type {
		case event.TypeReviewStarted:
			if at := timestamptz(e.Timestamp); !s.start.Valid || earlier(at, s.start) {
				s.start = at
			}
		case event.TypeReviewCompleted, event.TypeReviewCancelled:
			if at := timestamptz(e.Timestamp); !s.end.Valid || earlier(s.end, at) {
				s.end = at
			}
		}
	}
	slices.SortFunc(named, func(a, b session) int { return cmp.Compare(a.id, b.id) })
	return named
}

// readSessions returns the sessions that exist, by id, and locks them: nobody can delete one, or
// change its id, before the transaction ends. (The other half is a trigger, in migration 9.)
func readSessions(ctx context.Context, tx pgx.Tx, named []session) (map[int64]session, error) {
	rows, err := tx.Query(ctx, `
		SELECT s.session_id, u.username, s.start_time, s.end_time
		FROM public.review_sessions s JOIN public.users u USING (user_id)
		WHERE s.session_id = ANY ($1)
		FOR KEY SHARE OF s`,
		sessionIDs(named))
	if err != nil {
		return nil, err
	}
	there := make(map[int64]session, len(named))
	var s session
	_, err = pgx.ForEachRow(rows, []any{&s.id, &s.owner, &s.start, &s.end}, func() error {
		there[s.id] = s
		return nil
	})
	return there, err
}

// writeSessions creates missing owners and then missing sessions, and updates the sessions that
// differ, in one round trip. Both must be sorted: it is the order in which all writers lock. A
// session that was deleted meanwhile is errVanished.
func writeSessions(ctx context.Context, tx pgx.Tx, owners []string, changes []session) error {
	n := len(changes)
	names, starts, ends := make([]string, n), make([]pgtype.Timestamptz, n), make([]pgtype.Timestamptz, n)
	for i, s := range changes {
		names[i], starts[i], ends[i] = s.owner, s.start, s.end
	}
	ids := sessionIDs(changes)

	var q pgx.Batch
	// ON CONFLICT waits for another writer's row, so that every later statement sees it. NOT EXISTS
	// saves a number of the sequence for each user who exists.
	q.Queue(`
		INSERT INTO public.users (username)
		SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, n)
		WHERE NOT EXISTS (SELECT FROM public.users WHERE username = name)
		ORDER BY n
		ON CONFLICT DO NOTHING`, owners)
	q.Queue(`
		INSERT INTO public.review_sessions (session_id, user_id, start_time, end_time)
		SELECT session_id, user_id, start_time, end_time
		FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::timestamptz[])
			AS wanted (session_id, username, start_time, end_time)
		JOIN public.users USING (username)
		WHERE NOT EXISTS (SELECT FROM public.review_sessions s WHERE s.session_id = wanted.session_id)
		ORDER BY session_id
		ON CONFLICT DO NOTHING`, ids, names, starts, ends)
	// UPDATE locks in any order. This locks in ours, and the statement after it sees what it waited
	// for. It also locks the sessions that other writers have created.
	q.Queue(`
		SELECT FROM public.review_sessions WHERE session_id = ANY ($1)
		ORDER BY session_id FOR NO KEY UPDATE`, ids).Exec(func(kept pgconn.CommandTag) error {
		if kept.RowsAffected() != int64(n) {
			return errVanished
		}
		return nil
	})
	q.Queue(`
		UPDATE public.review_sessions s
		SET user_id = CASE WHEN old.username = $5 THEN coalesce(new.user_id, s.user_id) ELSE s.user_id END,
			start_time = LEAST(s.start_time, wanted.start_time),
			end_time = GREATEST(s.end_time, wanted.end_time)
		FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::timestamptz[])
			AS wanted (session_id, username, start_time, end_time)
			LEFT JOIN public.users new USING (username), -- only users whom a session needs were created
			public.users old
		WHERE s.session_id = wanted.session_id AND old.user_id = s.user_id
			AND (old.username = $5 AND new.username <> $5
				OR s.start_time IS DISTINCT FROM LEAST(s.start_time, wanted.start_time)
				OR s.end_time IS DISTINCT FROM GREATEST(s.end_time, wanted.end_time))`,
		ids, names, starts, ends, unknownUser)
	return tx.SendBatch(ctx, &q).Close()
}

func sessionIDs(sessions []session) []int64 {
	ids := make([]int64, len(sessions))
	for i, s := range sessions {
		ids[i] = s.id
	}
	return ids
}

func timestamptz(t time.Time) pgtype.Timestamptz { return pgtype.Timestamptz{Time: t, Valid: true} }

// earlier reports whether a is a time, and b is missing or after it.
func earlier(a, b pgtype.Timestamptz) bool { return a.Valid && (!b.Valid || a.Time.Before(b.Time)) }
