package store

import (
	"bytes"
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/trailpost/trailpost/services/internal/event"
)

// Two events with one [event.Source.EventKey] are one, whatever their ids are. Unlike an id, a key
// is no key of the trail, which is partitioned by time: the table event_keys has it. Keys are added
// in the transaction that stores their events, so both are there or none is. They are added before
// the events, and sorted, since that is the order in which all writers wait for one another.

type eventKey = [event.EventKeyBytes]byte

// takeKeys adds the keys that are new to the table. What the trail has already, by its key or by
// the id of the record's own time, is decided here and removed from the plan, and so are repeats of
// a key within the plan, which are compared when their first is stored.
func (p *writePlan) takeKeys(ctx context.Context, tx pgx.Tx) error {
	all := slices.Concat(p.firsts, p.repeats, p.keyRepeats)
	slices.Sort(all)
	keyed := map[eventKey][]int{} // in the batch's order
	for _, i := range all {
		if key, ok := p.keyOf(i); ok {
			keyed[key] = append(keyed[key], i)
		}
	}
	if err := p.findByOwnTime(ctx, tx, keyed); err != nil {
		return err
	}
	keys := make([]eventKey, 0, len(keyed))
	for key := range keyed {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(x, y eventKey) int { return bytes.Compare(x[:], y[:]) })
	fresh, err := p.insertKeys(ctx, tx, keys, keyed)
	if err != nil {
		return err
	}
	known := map[eventKey][]int{}
	p.keyRepeats, p.keyFirsts = nil, fresh
	var rest []int
	for _, i := range all {
		key, ok := p.keyOf(i)
		if !ok {
			rest = append(rest, i)
			continue
		}
		if _, open := keyed[key]; !open {
			continue // found by its own time
		}
		switch first, ok := fresh[key]; {
		case !ok:
			known[key] = append(known[key], i)
		case first == i:
			rest = append(rest, i)
		default:
			p.keyRepeats = append(p.keyRepeats, i)
		}
	}
	p.arrange(rest)
	return p.compareKnown(ctx, tx, known)
}

func (p *writePlan) keyOf(i int) (key eventKey, ok bool) {
	if source := p.events[i].Source; source != nil && source.EventKey != nil {
		return eventKey(source.EventKey), true
	}
	return key, false
}

// findByOwnTime decides of the events that the trail has under the ids of their records' own times,
// and removes their keys: a record that was sent again when it had become too old for such an id.
func (p *writePlan) findByOwnTime(ctx context.Context, tx pgx.Tx, keyed map[eventKey][]int) error {
	var which []int
	var ids []pgtype.UUID
	for _, of := range keyed {
		for _, i := range of {
			if id := p.events[i].OwnTimeID(); id != uuid.Nil && id != p.events[i].ID {
				which = append(which, i)
				ids = append(ids, pgtype.UUID{Bytes: id, Valid: true})
			}
		}
	}
	if len(which) == 0 {
		return nil
	}
	found := map[eventKey]pgtype.UUID{}
	err := p.findStored(ctx, tx, findRecord, which, ids, func(i int, _ bool) {
		key, _ := p.keyOf(i)
		found[key] = pgtype.UUID{Bytes: p.events[i].OwnTimeID(), Valid: true}
	})
	if err != nil || len(found) == 0 {
		return err
	}
	stored := map[eventKey][]int{}
	for key := range found {
		stored[key] = keyed[key]
		delete(keyed, key)
	}
	return p.compareWith(ctx, tx, stored, found)
}

// insertKeys adds keys, with the id of the first event of each, and returns the first event of
// those that are new.
func (p *writePlan) insertKeys(ctx context.Context, tx pgx.Tx, keys []eventKey, keyed map[eventKey][]int) (fresh map[eventKey]int, err error) {
	fresh = map[eventKey]int{}
	if len(keys) == 0 {
		return fresh, nil
	}
	firsts := make([]int, len(keys))
	for n, key := range keys {
		firsts[n] = keyed[key][0]
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO public.event_keys (event_key, event_id)
		SELECT key, id FROM unnest($1::bytea[], $2::uuid[]) WITH ORDINALITY AS sent (key, id, n)
		ORDER BY n
		ON CONFLICT DO NOTHING
		RETURNING event_key`, keyArray(keys), p.ids(firsts))
	if err != nil {
		return nil, err
	}
	var key []byte
	_, err = pgx.ForEachRow(rows, []any{&key}, func() error {
		fresh[eventKey(key)] = keyed[eventKey(key)][0]
		return nil
	})
	return fresh, err
}

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
	found := map[int]bool{}
	if err := p.findStored(ctx, tx, findRecord, which, ids, func(i int, same bool) {
		found[i] = true
		p.outcomes[i] = p.outcomeOf(i, same)
	}); err != nil || len(found) == len(which) {
		return err
	}
	rows, err := tx.Query(ctx, awayStatement, ids)
	if err != nil {
		return err
	}
	var n int
	_, err = pgx.ForEachRow(rows, []any{&n}, func() error {
		if i := which[n-1]; !found[i] {
			p.outcomes[i] = NotCompared
		}
		return nil
	})
	return err
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
	if len(p.keyRepeats) == 0 {
		return nil
	}
	ids := make([]pgtype.UUID, len(p.keyRepeats))
	for n, i := range p.keyRepeats {
		key, _ := p.keyOf(i)
		ids[n] = pgtype.UUID{Bytes: p.events[p.keyFirsts[key]].ID, Valid: true}
	}
	compared := 0
	err := p.findStored(ctx, tx, findRecord, p.keyRepeats, ids, func(i int, same bool) {
		compared++
		p.outcomes[i] = p.outcomeOf(i, same)
	})
	if err == nil && compared != len(p.keyRepeats) {
		return errVanished
	}
	return err
}

func keyArray(keys []eventKey) pgtype.FlatArray[[]byte] {
	array := make(pgtype.FlatArray[[]byte], len(keys))
	for n := range keys {
		array[n] = keys[n][:]
	}
	return array
}
