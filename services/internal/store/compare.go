package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/trailpost/trailpost/services/internal/store/columns"
)

// compare decides of events whose ids are in the table whether they are what is there.
func (p *writePlan) compare(ctx context.Context, tx pgx.Tx, which []int) error {
	if len(which) == 0 {
		return nil
	}
	compared := 0
	err := p.findStored(ctx, tx, findEvent, which, p.ids(which), func(i int, like likeness) {
		compared++
		p.outcomes[i] = p.outcomeOf(i, like)
	})
	if err == nil && compared != len(which) {
		return errVanished
	}
	return err
}

// likeness is how a row is like the event whose id or key it has.
type likeness struct {
	same       bool // it is the same event
	sameSource bool
}

// outcomeOf says what an event is whose id or key has a row.
func (p *writePlan) outcomeOf(i int, like likeness) Outcome {
	if like.same {
		return Duplicate
	}
	// Another source's natural ids are not these bytes.
	if source := p.events[i].Source; source != nil && source.NaturalIDIsBytes && like.sameSource {
		return Duplicate
	}
	return Reused
}

// dropStoredByPlainID removes from the plan what is stored under the id that it had before there
// was an identity key. Where one event of an id has a plain id, all of that id have it: a derived
// id that somebody wrote into an event is the derived id of the same line.
func (p *writePlan) dropStoredByPlainID(ctx context.Context, tx pgx.Tx) error {
	all := slices.Concat(p.firsts, p.repeats)
	plainIDs := map[uuid.UUID]uuid.UUID{}
	for _, i := range all {
		if e := &p.events[i]; e.PlainID != uuid.Nil {
			plainIDs[e.ID] = e.PlainID
		}
	}
	var which []int
	var ids []pgtype.UUID
	for _, i := range all {
		if plain, ok := plainIDs[p.events[i].ID]; ok {
			which = append(which, i)
			ids = append(ids, pgtype.UUID{Bytes: plain, Valid: true})
		}
	}
	if len(which) == 0 {
		return nil
	}
	stored := map[int]bool{}
	err := p.findStored(ctx, tx, findEvent, which, ids, func(i int, like likeness) {
		if like.same {
			stored[i] = true
			p.outcomes[i] = Duplicate
		}
	})
	if err != nil {
		return err
	}
	// All of them again: a repeat whose first is removed repeats nothing any more, and may be
	// another event under its id.
	p.arrange(slices.DeleteFunc(all, func(i int) bool { return stored[i] }))
	return nil
}

// The statements that find events by ids and compare them: with all that makes an event, or with
// all but its time. They have the arguments of columns.Arrays, and behind them the bounds of the ids.
var (
	findEvent  = findStatement(columns.SameEvent)
	findRecord = findStatement(columns.SameRecord)
)

func findStatement(same string) string {
	return fmt.Sprintf(`
		SELECT sent.n, there.same, there.same_source
		FROM unnest(%s)
			WITH ORDINALITY AS sent (%s, n),
			LATERAL (
				SELECT %s AS same, e.source IS NOT DISTINCT FROM sent.source AS same_source
				FROM public.log_events e
				WHERE e.event_id = sent.event_id AND e.event_id BETWEEN $%d AND $%d
				OFFSET 0
			) AS there`,
		columns.Arrays, columns.Names, same, columns.Count+1, columns.Count+2)
}

// findStored looks up events by the ids at their places in ids. For each that has a row it calls
// found, with how the row is like the event by the statement's comparison.
func (p *writePlan) findStored(ctx context.Context, tx pgx.Tx, statement string, which []int, ids []pgtype.UUID,
	found func(i int, like likeness),
) error {
	byID := func(x, y pgtype.UUID) int { return bytes.Compare(x.Bytes[:], y.Bytes[:]) }
	values := columns.Values(p.events, which)
	values[0] = ids
	rows, err := tx.Query(ctx, statement, append(values, slices.MinFunc(ids, byID), slices.MaxFunc(ids, byID))...)
	if err != nil {
		return err
	}
	var (
		n    int
		like likeness
	)
	_, err = pgx.ForEachRow(rows, []any{&n, &like.same, &like.sameSource}, func() error {
		found(which[n-1], like)
		return nil
	})
	return err
}
