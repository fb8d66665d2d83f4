package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
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

// sampleEvery is how many requests one is watched of: all would be as much work for PostgreSQL as storing them.
const sampleEvery = 500

// watchRows looks for rows while load runs, and returns how long after its 202 each of a sample was seen.
func (b *bench) watchRows(ctx context.Context, load func(sample func(n int, at time.Time, body []byte)) error) (durations, error) {
	type answer struct {
		at   time.Time
		body []byte
	}
	answers := make(chan answer, 1024)
	conn, err := pgx.ConnectConfig(ctx, b.database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var seen durations
	var failed error
	var running sync.WaitGroup
	running.Go(func() {
		for a := range answers {
			if failed != nil {
				continue
			}
			var card struct {
				ID string `json:"event_id"`
			}
			var id pgtype.UUID
			if failed = errors.Join(json.Unmarshal(a.body, &card), id.Scan(card.ID)); failed != nil {
				continue
			}
			failed = until(ctx, "an event's row is there", 500*time.Microsecond, func() (there bool, err error) {
				err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM log_events WHERE event_id = $1)", id).Scan(&there)
				return there, err
			})
			seen = append(seen, time.Since(a.at))
		}
	})
	err = load(func(n int, at time.Time, body []byte) {
		if n%sampleEvery != 0 {
			return
		}
		select {
		case answers <- answer{at, body}:
		default: // the watcher is behind; it would measure itself
		}
	})
	close(answers)
	running.Wait()
	return seen, errors.Join(err, failed)
}
