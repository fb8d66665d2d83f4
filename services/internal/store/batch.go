package store

import (
	"bytes"
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/event"
)

// batch is the events of one Store and what is known about them. It refers to events by their index.
type batch struct {
	events []event.Event
	// firsts are the events to store, sorted by id: the first of each id.
	firsts []int
	// repeats are the others.
	repeats  []int
	outcomes []Outcome
	again    bool // some of it may be stored, under former ids, too
}

func newBatch(events []event.Event) *batch {
	order := make([]int, len(events))
	for i := range order {
		order[i] = i
	}
	b := &batch{events: events, outcomes: make([]Outcome, len(events))}
	b.arrange(order)
	return b
}

// arrange makes b be of the given events alone; of those with one id the first given one is the first. It takes the slice over.
func (b *batch) arrange(which []int) {
	slices.SortStableFunc(which, func(i, j int) int { return bytes.Compare(b.events[i].ID[:], b.events[j].ID[:]) })
	b.firsts, b.repeats = which[:0], nil
	for _, i := range which {
		if n := len(b.firsts); n > 0 && b.events[b.firsts[n-1]].ID == b.events[i].ID {
			b.repeats = append(b.repeats, i)
			continue
		}
		b.firsts = append(b.firsts, i)
	}
}

// copyAll takes every event for new.
func (b *batch) copyAll(ctx context.Context, tx pgx.Tx) error {
	if err := b.keepSessions(ctx, tx, b.firsts); err != nil {
		return err
	}
	if err := b.copy(ctx, tx, b.firsts); err != nil {
		return err
	}
	return b.compare(ctx, tx, b.repeats)
}

// lookThenCopy asks first which ids are there.
func (b *batch) lookThenCopy(ctx context.Context, tx pgx.Tx) error {
	first, last := b.bounds()
	rows, err := tx.Query(ctx, `
		SELECT sent.event_id
		FROM unnest($1::uuid[]) AS sent (event_id),
			LATERAL (
				SELECT FROM public.log_events e
				WHERE e.event_id = sent.event_id AND e.event_id BETWEEN $2 AND $3
				OFFSET 0
			) AS there`,
		b.ids(b.firsts), first, last)
	if err != nil {
		return err
	}
	there, err := collect(rows)
	if err != nil {
		return err
	}
	known, fresh := b.split(there)
	if len(fresh) > 0 {
		if err := b.keepSessions(ctx, tx, fresh); err != nil {
			return err
		}
		if err := b.copy(ctx, tx, fresh); err != nil {
			return err
		}
	} else if err := durable.SyncOnCommit(ctx, tx); err != nil {
		return err
	}
	return b.compare(ctx, tx, append(known, b.repeats...))
}

// insertNew lets PostgreSQL say, row by row, which ids are there.
func (b *batch) insertNew(ctx context.Context, tx pgx.Tx) error {
	if err := b.keepSessions(ctx, tx, b.firsts); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO public.log_events (event_id, session_id, event_type, username, "timestamp", received_at, received_from, payload)
		SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::jsonb[])
		ON CONFLICT DO NOTHING
		RETURNING event_id`,
		append(b.columns(b.firsts), b.payloads(b.firsts))...)
	if err != nil {
		return err
	}
	inserted, err := collect(rows)
	if err != nil {
		return err
	}
	if len(inserted) == 0 {
		if err := durable.SyncOnCommit(ctx, tx); err != nil {
			return err
		}
	}
	_, known := b.split(inserted)
	return b.compare(ctx, tx, append(known, b.repeats...))
}

// compare says of events whose ids are in the table whether they are what is there.
func (b *batch) compare(ctx context.Context, tx pgx.Tx, which []int) error {
	if len(which) == 0 {
		return nil
	}
	first, last := b.bounds()
	compared := 0
	err := b.find(ctx, tx, which, b.ids(which), first, last, func(i int, same bool) {
		compared++
		b.outcomes[i] = Reused
		if same {
			b.outcomes[i] = Duplicate
		}
	})
	if err == nil && compared != len(which) {
		return errVanished
	}
	return err
}

// dropFormer takes out of the batch what is stored under the id that it had before there was an identity key. Of events with
// one id that is so for all, if it is so for one: a derived id that somebody wrote into the event is that of the same line.
func (b *batch) dropFormer(ctx context.Context, tx pgx.Tx) error {
	all := slices.Concat(b.firsts, b.repeats)
	plainIDs := map[uuid.UUID]uuid.UUID{}
	for _, i := range all {
		if e := &b.events[i]; e.PlainID != uuid.Nil {
			plainIDs[e.ID] = e.PlainID
		}
	}
	var which []int
	var ids []pgtype.UUID
	for _, i := range all {
		if plain, ok := plainIDs[b.events[i].ID]; ok {
			which = append(which, i)
			ids = append(ids, pgtype.UUID{Bytes: plain, Valid: true})
		}
	}
	if len(which) == 0 {
		return nil
	}
	byID := func(x, y pgtype.UUID) int { return bytes.Compare(x.Bytes[:], y.Bytes[:]) }
	stored := map[int]bool{}
	err := b.find(ctx, tx, which, ids, slices.MinFunc(ids, byID), slices.MaxFunc(ids, byID), func(i int, same bool) {
		if same {
			stored[i] = true
			b.outcomes[i] = Duplicate
		}
	})
	if err != nil {
		return err
	}
	// Anew, since a repeat whose first is taken out is one of nothing, and may be another event under its id.
	b.arrange(slices.DeleteFunc(all, func(i int) bool { return stored[i] }))
	return nil
}

// find calls found for each of the events of which a row has the id at its place in ids, between first and last: whether it
// is the same event.
func (b *batch) find(ctx context.Context, tx pgx.Tx, which []int, ids []pgtype.UUID, first, last pgtype.UUID, found func(i int, same bool)) error {
	columns := b.columns(which)
	columns[0] = ids
	// received_at and received_from are left out: they are the producer's, and may be others at each attempt of a
	// client, whose key was replaced, say.
	rows, err := tx.Query(ctx, `
		SELECT sent.n, there.same
		FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::jsonb[])
			WITH ORDINALITY AS sent (event_id, session_id, event_type, username, "timestamp", received_at, received_from, payload, n),
			LATERAL (
				SELECT e.session_id = sent.session_id
					AND e.event_type = sent.event_type
					AND e.username IS NOT DISTINCT FROM sent.username
					AND e."timestamp" = sent."timestamp"
					AND e.payload = sent.payload AS same
				FROM public.log_events e
				WHERE e.event_id = sent.event_id AND e.event_id BETWEEN $9 AND $10
				OFFSET 0
			) AS there`,
		append(columns, b.payloads(which), first, last)...)
	if err != nil {
		return err
	}
	var (
		n    int
		same bool
	)
	_, err = pgx.ForEachRow(rows, []any{&n, &same}, func() error {
		found(which[n-1], same)
		return nil
	})
	return err
}

// bounds are the smallest and the largest id. A statement that says them reads no other month's partition: PostgreSQL
// leaves partitions out by constants, but not by the elements of an array, of which it would look for each in every
// month that there ever was. OFFSET 0 beside them keeps a statement at one search by key for each id: it may not join, and
// read all that is between the bounds instead.
func (b *batch) bounds() (first, last pgtype.UUID) {
	ends := b.ids([]int{b.firsts[0], b.firsts[len(b.firsts)-1]})
	return ends[0], ends[1]
}

// split parts b.firsts into the events whose ids are in the set and the others. Both stay sorted.
func (b *batch) split(set map[pgtype.UUID]struct{}) (in, out []int) {
	for _, i := range b.firsts {
		if _, ok := set[pgtype.UUID{Bytes: b.events[i].ID, Valid: true}]; ok {
			in = append(in, i)
		} else {
			out = append(out, i)
		}
	}
	return in, out
}

// collect reads a column of ids.
func collect(rows pgx.Rows) (map[pgtype.UUID]struct{}, error) {
	set := map[pgtype.UUID]struct{}{}
	var id pgtype.UUID
	_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
		set[id] = struct{}{}
		return nil
	})
	return set, err
}

func (b *batch) ids(which []int) []pgtype.UUID {
	ids := make([]pgtype.UUID, len(which))
	for n, i := range which {
		ids[n] = pgtype.UUID{Bytes: b.events[i].ID, Valid: true}
	}
	return ids
}

// columns are the arguments $1 to $7 of the statements above, an array for each column.
func (b *batch) columns(which []int) []any {
	var (
		sessions  = make([]int64, len(which))
		types     = make([]string, len(which))
		usernames = make([]pgtype.Text, len(which))
		happened  = make([]pgtype.Timestamptz, len(which))
		received  = make([]pgtype.Timestamptz, len(which))
		senders   = make([]pgtype.Text, len(which))
	)
	for n, i := range which {
		e := &b.events[i]
		sessions[n] = e.SessionID
		types[n] = e.Type
		usernames[n] = pgtype.Text{String: e.Username, Valid: e.Username != ""}
		happened[n] = pgtype.Timestamptz{Time: e.Timestamp, Valid: true}
		received[n] = pgtype.Timestamptz{Time: e.ReceivedAt, Valid: true}
		senders[n] = pgtype.Text{String: e.ReceivedFrom, Valid: e.ReceivedFrom != ""}
	}
	return []any{b.ids(which), sessions, types, usernames, happened, received, senders}
}

// payloads is $8. FlatArray, since a plain [][]byte could be taken for an array of two dimensions.
func (b *batch) payloads(which []int) any {
	payloads := make(pgtype.FlatArray[[]byte], len(which))
	for n, i := range which {
		payloads[n] = b.events[i].Payload
	}
	return payloads
}
