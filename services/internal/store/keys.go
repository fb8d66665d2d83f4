package store

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

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

// errKeyOfAnother is a new key that was added for an event which is not stored, since its id is
// another event's. Nothing may be committed of it: the transaction is tried again without.
var errKeyOfAnother = errors.New("a new key's event has the id of another event")

// leastMaxAge is the least that EVENT_ID_MAX_AGE may be: no younger record has a key because of its
// age.
const leastMaxAge = time.Minute

// mayHaveKey reports whether an event has a key, or is one of its own time whose record may have
// been sent again with a key.
func mayHaveKey(e event.Event) bool {
	return e.Source != nil && (e.Source.EventKey != nil || time.Since(event.IDTime(e.ID)) > leastMaxAge)
}

// takeKeys adds the keys that are new to the table. What the trail has already, by its key or by
// the id of the record's own time, is decided here and removed from the plan, and so are repeats of
// a key within the plan, which are compared when their first is stored.
func (p *writePlan) takeKeys(ctx context.Context, tx pgx.Tx) error {
	all := slices.Concat(p.firsts, p.repeats, p.keyRepeats)
	all = slices.DeleteFunc(all, func(i int) bool { return slices.Contains(p.keyRefused, i) })
	slices.Sort(all)
	all, err := p.dropStoredByKey(ctx, tx, all)
	if err != nil {
		return err
	}
	keyed := map[eventKey][]int{} // in the batch's order
	for _, i := range all {
		if key, ok := p.keyOf(i); ok {
			keyed[key] = append(keyed[key], i)
		}
	}
	if err := p.findByOwnTime(ctx, tx, keyed); err != nil {
		return err
	}
	p.keyFirsts = p.firstsByOwnTime(all, keyed)
	fresh, err := p.insertKeys(ctx, tx, keyed)
	if err != nil {
		return err
	}
	maps.Copy(p.keyFirsts, fresh)
	p.keyRepeats = nil
	known := map[eventKey][]int{}
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
		switch first, ok := p.keyFirsts[key]; {
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

// firstsByOwnTime finds events of the plan that have no key and the id of the own time of a record
// that has one: that is the record again, and the first of its key, which is not added then.
func (p *writePlan) firstsByOwnTime(all []int, keyed map[eventKey][]int) map[eventKey]int {
	keys := map[uuid.UUID]eventKey{}
	for key, events := range keyed {
		for _, i := range events {
			if id := p.events[i].OwnTimeID(); id != uuid.Nil {
				keys[id] = key
			}
		}
	}
	firsts := map[eventKey]int{}
	for _, i := range all {
		e := &p.events[i]
		key, ok := keys[e.ID]
		if _, has := p.keyOf(i); !ok || has || e.Source == nil {
			continue
		}
		if _, twice := firsts[key]; !twice {
			firsts[key] = i
		}
	}
	return firsts
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
	err := p.findStored(ctx, tx, findRecord, which, ids, func(i int, _ likeness) {
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

// insertKeys adds the keys that have no first yet, with the id of the first event of each, and
// returns the first event of those that are new.
func (p *writePlan) insertKeys(ctx context.Context, tx pgx.Tx, keyed map[eventKey][]int) (fresh map[eventKey]int, err error) {
	var keys []eventKey
	for key := range keyed {
		if _, has := p.keyFirsts[key]; !has {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	slices.SortFunc(keys, func(x, y eventKey) int { return bytes.Compare(x[:], y[:]) })
	fresh = map[eventKey]int{}
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

func keyArray(keys []eventKey) pgtype.FlatArray[[]byte] {
	array := make(pgtype.FlatArray[[]byte], len(keys))
	for n := range keys {
		array[n] = keys[n][:]
	}
	return array
}
