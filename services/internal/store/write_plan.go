package store

import (
	"bytes"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/store/columns"
)

// writePlan is the events of one Store, in the order in which they are written, and what is known
// about them. It refers to events by their index.
type writePlan struct {
	events []event.Event
	// firsts are the events to store, sorted by id: the first of each id.
	firsts []int
	// repeats are the others.
	repeats []int
	// keyRepeats are those whose EventKey is that of a first; keyFirsts is the first of each.
	keyRepeats  []int
	keyFirsts   map[eventKey]int
	keyRefused  []int // those with a new key, and the id of another event
	outcomes    []Outcome
	keyed       bool // some have an EventKey, or may have had one at another attempt
	redelivered bool // some may be stored, also under the ids that they had without an identity key
}

func newWritePlan(events []event.Event, redelivered bool) *writePlan {
	order := make([]int, len(events))
	for i := range order {
		order[i] = i
	}
	p := &writePlan{
		events: events, outcomes: make([]Outcome, len(events)), redelivered: redelivered,
		keyed: slices.ContainsFunc(events, mayHaveKey),
	}
	p.arrange(order)
	return p
}

// arrange reduces the plan to the given events. Of those with one id, the first given is the first.
// It takes the slice over.
func (p *writePlan) arrange(which []int) {
	slices.SortStableFunc(which, func(i, j int) int {
		return bytes.Compare(p.events[i].ID[:], p.events[j].ID[:])
	})
	p.firsts, p.repeats = which[:0], nil
	for _, i := range which {
		if n := len(p.firsts); n > 0 && p.events[p.firsts[n-1]].ID == p.events[i].ID {
			p.repeats = append(p.repeats, i)
			continue
		}
		p.firsts = append(p.firsts, i)
	}
}

// copyAll treats every event as new.
func (p *writePlan) copyAll(ctx context.Context, tx pgx.Tx) error {
	if err := p.keepSessions(ctx, tx, p.firsts); err != nil {
		return err
	}
	if err := p.copy(ctx, tx, p.firsts); err != nil {
		return err
	}
	return p.compare(ctx, tx, p.repeats)
}

// copy sends the events in one COPY. They must be sorted by id.
func (p *writePlan) copy(ctx context.Context, tx pgx.Tx, which []int) error {
	ctx, span := traceCopy(ctx, tx.Conn(), len(which))
	_, err := tx.Conn().PgConn().CopyFrom(ctx, columns.NewCopy(p.events, which), columns.CopyStatement)
	endStatement(span, err)
	return err
}

// lookThenCopy looks up first which ids are there.
func (p *writePlan) lookThenCopy(ctx context.Context, tx pgx.Tx) error {
	first, last := p.bounds()
	rows, err := tx.Query(ctx, `
		SELECT sent.event_id
		FROM unnest($1::uuid[]) AS sent (event_id),
			LATERAL (
				SELECT FROM public.log_events e
				WHERE e.event_id = sent.event_id AND e.event_id BETWEEN $2 AND $3
				OFFSET 0
			) AS there`,
		p.ids(p.firsts), first, last)
	if err != nil {
		return err
	}
	there, err := collect(rows)
	if err != nil {
		return err
	}
	known, fresh := p.split(there)
	if len(fresh) > 0 {
		if err := p.keepSessions(ctx, tx, fresh); err != nil {
			return err
		}
		if err := p.copy(ctx, tx, fresh); err != nil {
			return err
		}
	} else if err := durable.SyncOnCommit(ctx, tx); err != nil {
		return err
	}
	return p.compare(ctx, tx, append(known, p.repeats...))
}

var insertStatement = `
		INSERT INTO public.log_events (` + columns.Names + `)
		SELECT * FROM unnest(` + columns.Arrays + `)
		ON CONFLICT DO NOTHING
		RETURNING event_id`

// insertNew lets PostgreSQL say, row by row, which ids are there.
func (p *writePlan) insertNew(ctx context.Context, tx pgx.Tx) error {
	if err := p.keepSessions(ctx, tx, p.firsts); err != nil {
		return err
	}
	rows, err := tx.Query(ctx, insertStatement, columns.Values(p.events, p.firsts)...)
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
	_, known := p.split(inserted)
	return p.compare(ctx, tx, append(known, p.repeats...))
}

// bounds returns the smallest and the largest id. A statement that names them reads no other
// month's partition: PostgreSQL excludes partitions by constants, but not by the elements of an
// array, and would look for each of those in every month that there ever was. OFFSET 0 beside the
// bounds keeps a statement at one search by key for each id: without it, PostgreSQL could join, and
// read everything between the bounds instead.
func (p *writePlan) bounds() (first, last pgtype.UUID) {
	ends := p.ids([]int{p.firsts[0], p.firsts[len(p.firsts)-1]})
	return ends[0], ends[1]
}

// split separates the firsts whose ids are in the set from the others. Both stay sorted.
func (p *writePlan) split(set map[pgtype.UUID]struct{}) (in, out []int) {
	for _, i := range p.firsts {
		if _, ok := set[pgtype.UUID{Bytes: p.events[i].ID, Valid: true}]; ok {
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

func (p *writePlan) ids(which []int) []pgtype.UUID {
	ids := make([]pgtype.UUID, len(which))
	for n, i := range which {
		ids[n] = pgtype.UUID{Bytes: p.events[i].ID, Valid: true}
	}
	return ids
}
