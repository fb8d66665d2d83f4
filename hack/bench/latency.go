package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// latency measures the time from a 202 to the visible row, at 70 % of the rate that producer and consumer together keep up with on this machine.
func latency(ctx context.Context, b *bench, r *report) error {
	return b.withBoth(ctx, func(p, c *service) error { return b.latencyOf(ctx, p, c, r) })
}

func (b *bench) latencyOf(ctx context.Context, p, c *service, r *report) error {
	single := request("/log", mediaArray, requestEvent(1, "", payload))

	before, err := c.metric(metricStored)
	if err != nil {
		return err
	}
	start := time.Now()
	accepted, _, err := closedLoop(ctx, p.addr, 64, b.duration, single)
	if err != nil {
		return err
	}
	after, err := c.metric(metricStored)
	if err != nil {
		return err
	}
	most := min(accepted, (after-before)/time.Since(start).Seconds())
	r.add("latency.most.rate", most)
	err = until(ctx, "the queue is empty", 50*time.Millisecond, func() (bool, error) {
		q, err := b.ch.QueueDeclarePassive(queueName, true, false, false, false, nil)
		n, failed := c.metric(metricStored)
		idle := q.Messages == 0 && n == after
		after = n
		return idle, errors.Join(err, failed)
	})
	if err != nil {
		return err
	}

	visible, err := b.watchRows(ctx, func(sample func(int, time.Time, []byte)) error {
		latencies, err := openLoop(ctx, p.addr, 64, 0.7*most, 3*b.duration, single, sample)
		r.addLatencies("latency.accept", latencies)
		return err
	})
	if err != nil {
		return err
	}
	r.addLatencies("latency", visible)
	return nil
}

// One request of sampleEvery is watched, and its row is looked for every lookEvery: more would be as much work for
// PostgreSQL as storing them.
const (
	sampleEvery = 40
	lookEvery   = time.Millisecond
)

// watchRows looks for rows while load runs, and returns how long after its 202 each of a sample was seen.
func (b *bench) watchRows(ctx context.Context, load func(sample func(n int, at time.Time, body []byte)) error) (durations, error) {
	conn, err := pgx.ConnectConfig(ctx, b.database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var mu sync.Mutex
	answered := map[pgtype.UUID]time.Time{} // whose rows were not seen
	var malformed error
	var seen durations
	look := func() (all bool, err error) {
		mu.Lock()
		ids := slices.Collect(maps.Keys(answered))
		mu.Unlock()
		if len(ids) == 0 {
			return true, nil
		}
		rows, err := conn.Query(ctx, "SELECT event_id FROM log_events WHERE event_id = ANY ($1)", ids)
		if err != nil {
			return false, err
		}
		there, err := pgx.CollectRows(rows, pgx.RowTo[pgtype.UUID])
		now := time.Now()
		mu.Lock()
		defer mu.Unlock()
		for _, id := range there {
			seen = append(seen, now.Sub(answered[id]))
			delete(answered, id)
		}
		return len(answered) == 0, err
	}
	var loaded atomic.Bool
	var failed error
	var running sync.WaitGroup
	running.Go(func() {
		for failed == nil && !loaded.Load() {
			_, failed = look()
			time.Sleep(lookEvery)
		}
	})
	err = load(func(n int, at time.Time, body []byte) {
		if n%sampleEvery != 0 {
			return
		}
		var card struct {
			ID string `json:"event_id"`
		}
		var id pgtype.UUID
		err := errors.Join(json.Unmarshal(body, &card), id.Scan(card.ID))
		mu.Lock()
		defer mu.Unlock()
		malformed = errors.Join(malformed, err)
		answered[id] = at
	})
	loaded.Store(true)
	running.Wait()
	if err := errors.Join(err, malformed, failed); err != nil {
		return nil, err
	}
	return seen, until(ctx, "the last events' rows are there", lookEvery, look)
}
