package store

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// compareKnown decides of the events whose keys are in the table.
func (p *writePlan) compareKnown(ctx context.Context, tx pgx.Tx, known map[eventKey][]int) error {
	if len(known) == 0 {
		return nil
	}
	keys := make([]eventKey, 0, len(known))
	for key := range known {
		keys = append(keys, key)
	}
	rows, err := tx.Query(ctx, "SELECT event_key, event_id FROM public.event_keys WHERE event_key = ANY ($1)", keyArray(keys))
	if err != nil {
		return err
	}
	ids := map[eventKey]pgtype.UUID{}
	var (
		key []byte
		id  pgtype.UUID
	)
	if _, err := pgx.ForEachRow(rows, []any{&key, &id}, func() error {
		ids[eventKey(key)] = id
		return nil
	}); err != nil {
		return err
	}
	if len(ids) != len(known) {
		return errVanished
	}
	return p.compareWith(ctx, tx, known, ids)
}

// compareWith decides of the events of each key by the row with the id of the key.
func (p *writePlan) compareWith(ctx context.Context, tx pgx.Tx, keyed map[eventKey][]int, of map[eventKey]pgtype.UUID) error {
	var which []int
	var ids []pgtype.UUID
	for key, events := range keyed {
		for _, i := range events {
			which = append(which, i)
			ids = append(ids, of[key])
			p.outcomes[i] = KeyWithoutEvent
		}
	}
	missing, err := p.compareFound(ctx, tx, which, ids)
	if err != nil || len(missing) == 0 {
		return err
	}
	rows, err := tx.Query(ctx, awayStatement, pick(ids, missing))
	if err != nil {
		return err
	}
	var n int
	_, err = pgx.ForEachRow(rows, []any{&n}, func() error {
		p.outcomes[which[missing[n-1]]] = NotCompared
		return nil
	})
	if err != nil {
		return err
	}
	// Neither there nor away: perhaps a month came back between the two looks. From the first on
	// this transaction has locks by which no other can come or go.
	missing = slices.DeleteFunc(missing, func(n int) bool { return p.outcomes[which[n]] == NotCompared })
	if len(missing) == 0 {
		return nil
	}
	_, err = p.compareFound(ctx, tx, pick(which, missing), pick(ids, missing))
	return err
}

// dropStoredByKey decides of events without a key that are stored by one: a record that was sent
// again when it had become too old for an id of its own time, where the second attempt was stored
// first. It returns the others.
func (p *writePlan) dropStoredByKey(ctx context.Context, tx pgx.Tx, events []int) (rest []int, err error) {
	var which []int
	for _, i := range events {
		if _, has := p.keyOf(i); !has && mayHaveKey(p.events[i]) {
			which = append(which, i)
		}
	}
	if len(which) == 0 {
		return events, nil
	}
	rows, err := tx.Query(ctx, `
		SELECT n, k.event_id
		FROM unnest($1::uuid[]) WITH ORDINALITY AS sent (event_id, n),
			LATERAL (
				SELECT event_id FROM public.event_keys
				WHERE substring(uuid_send(event_id) FROM 7) = substring(uuid_send(sent.event_id) FROM 7)
				LIMIT 1
			) AS k`, p.ids(which))
	if err != nil {
		return nil, err
	}
	var (
		known []int
		ids   []pgtype.UUID
		n     int
		id    pgtype.UUID
	)
	if _, err := pgx.ForEachRow(rows, []any{&n, &id}, func() error {
		if id.Bytes != p.events[which[n-1]].ID { // else it is the same id, which needs no key
			known, ids = append(known, which[n-1]), append(ids, id)
		}
		return nil
	}); err != nil || len(known) == 0 {
		return events, err
	}
	missing, err := p.compareFound(ctx, tx, known, ids)
	if err != nil {
		return nil, err
	}
	missing = pick(known, missing)
	return slices.DeleteFunc(events, func(i int) bool {
		return slices.Contains(known, i) && !slices.Contains(missing, i)
	}), nil
}

// compareFound decides of the events that have rows under the ids at their places in ids, and
// returns the places of the others.
func (p *writePlan) compareFound(ctx context.Context, tx pgx.Tx, which []int, ids []pgtype.UUID) (missing []int, err error) {
	found := map[int]bool{}
	err = p.findStored(ctx, tx, findRecord, which, ids, func(i int, like likeness) {
		found[i] = true
		p.outcomes[i] = p.outcomeOf(i, like)
	})
	for n, i := range which {
		if !found[i] {
			missing = append(missing, n)
		}
	}
	return missing, err
}

// refuseAlike refuses, beside firsts, the repeats that would be next and have their ids, too, or
// each would need a transaction of its own. It returns errKeyOfAnother.
func (p *writePlan) refuseAlike(ctx context.Context, tx pgx.Tx, firsts []int) error {
	next := map[eventKey]uuid.UUID{}
	for _, i := range firsts {
		key, _ := p.keyOf(i)
		next[key] = p.events[i].ID
	}
	var alike []int
	for _, i := range p.keyRepeats { // in the batch's order
		key, _ := p.keyOf(i)
		if id, ok := next[key]; ok && id == p.events[i].ID {
			alike = append(alike, i)
		} else {
			delete(next, key)
		}
	}
	if err := p.compare(ctx, tx, alike); err != nil {
		return err
	}
	for _, i := range alike {
		if p.outcomes[i] != Reused {
			break
		}
		p.keyRefused = append(p.keyRefused, i)
	}
	return errKeyOfAnother
}

// pick returns what is at some places.
func pick[T any](all []T, places []int) []T {
	some := make([]T, len(places))
	for n, place := range places {
		some[n] = all[place]
	}
	return some
}

// awayStatement says which ids are of a month that is detached, or was retired.
const awayStatement = `
	SELECT n
	FROM unnest($1::uuid[]) WITH ORDINALITY AS sent (event_id, n),
		LATERAL (SELECT date_trunc('month', public.event_id_time(sent.event_id) AT TIME ZONE 'UTC')::date AS first OFFSET 0) AS month
	WHERE EXISTS (SELECT FROM public.retired_months r WHERE r.month = month.first)
		OR EXISTS (
			SELECT FROM pg_catalog.pg_class c
			WHERE c.relnamespace = 'public'::regnamespace AND c.relname = to_char(month.first, '"log_events_y"YYYY"m"MM')
				AND NOT c.relispartition)`

// compareKeyRepeats decides of the repeats of the keys that were new, whose firsts are stored now.
func (p *writePlan) compareKeyRepeats(ctx context.Context, tx pgx.Tx) error {
	refused := len(p.keyRefused)
	for _, first := range p.keyFirsts {
		if _, added := p.keyOf(first); added && p.outcomes[first] == Reused {
			p.keyRefused = append(p.keyRefused, first)
		}
	}
	if len(p.keyRefused) > refused {
		return p.refuseAlike(ctx, tx, p.keyRefused[refused:])
	}
	if len(p.keyRepeats) == 0 {
		return nil
	}
	ids := make([]pgtype.UUID, len(p.keyRepeats))
	for n, i := range p.keyRepeats {
		key, _ := p.keyOf(i)
		ids[n] = pgtype.UUID{Bytes: p.events[p.keyFirsts[key]].ID, Valid: true}
	}
	missing, err := p.compareFound(ctx, tx, p.keyRepeats, ids)
	if err == nil && len(missing) > 0 {
		return errVanished
	}
	return err
}
