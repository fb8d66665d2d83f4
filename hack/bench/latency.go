package main

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/hack/bench/bare"
	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/load"
	"github.com/trailpost/trailpost/hack/bench/service"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

// latency measures the time from a 202 to the visible row, at 70 % of the rate that producer and consumer together keep up with on this machine.
func latency(ctx context.Context, b *bench, r *figures.Report) error {
	return b.withBoth(ctx, func(p, c *service.Service) error { return b.latencyOf(ctx, p, c, r) })
}

func (b *bench) latencyOf(ctx context.Context, p, c *service.Service, r *figures.Report) error {
	single := load.Request("/log", workload.MediaArray, workload.Request(1, "", workload.Payload))

	before, err := c.Metric(metricStored)
	if err != nil {
		return err
	}
	start := time.Now()
	accepted, _, err := load.ClosedLoop(ctx, p.Addr, 64, b.duration, single)
	if err != nil {
		return err
	}
	after, err := c.Metric(metricStored)
	if err != nil {
		return err
	}
	most := min(accepted, (after-before)/time.Since(start).Seconds())
	r.Add("latency.most.rate", most)
	err = service.Until(ctx, "the queue is empty", 50*time.Millisecond, func() (bool, error) {
		q, err := b.ch.QueueDeclarePassive(queueName, true, false, false, false, nil)
		n, failed := c.Metric(metricStored)
		idle := q.Messages == 0 && n == after
		after = n
		return idle, errors.Join(err, failed)
	})
	if err != nil {
		return err
	}

	visible, err := b.watchRows(ctx, func(sample func(int, time.Time, []byte)) error {
		latencies, err := load.OpenLoop(ctx, p.Addr, 64, 0.7*most, 3*b.duration, single, sample)
		r.AddLatencies("latency.accept", latencies)
		return err
	})
	if err != nil {
		return err
	}
	r.AddLatencies("latency", visible)
	return nil
}

// One request of sampleEvery is watched, and its row is looked for every lookEvery: more would be as much work for
// PostgreSQL as storing them.
const (
	sampleEvery = 40
	lookEvery   = time.Millisecond
)

// watchRows looks for rows while post runs, and returns how long after its 202 each of a sample was seen.
func (b *bench) watchRows(ctx context.Context, post func(sample func(n int, at time.Time, body []byte)) error) (figures.Durations, error) {
	conn, err := pgx.ConnectConfig(ctx, b.database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var mu sync.Mutex
	answered := map[pgtype.UUID]time.Time{} // whose rows were not seen
	var malformed error
	var seen figures.Durations
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
	err = post(func(n int, at time.Time, body []byte) {
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
	return seen, service.Until(ctx, "the last events' rows are there", lookEvery, look)
}

// pipelineEvents is how many events a message has where the latency's load, some 3,700 a second, is published at the
// producer's pace.
const pipelineEvents = 4

// latencyLimit is what latency can reach at most: the time from a message's confirm to its rows' commit, with a bare
// publisher, and with bare workers that store what comes. It has nothing of Trailpost in it.
func latencyLimit(ctx context.Context, b *bench, r *figures.Report) error {
	if err := b.clean(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, load.WarmUp+3*b.duration)
	defer cancel()
	from := time.Now().Add(load.WarmUp)
	message := persistent(workload.Batch(workload.MediaLines, pipelineEvents, workload.Payload))
	message.Headers = amqp.Table{"events": int32(pipelineEvents)}

	var confirms []time.Time // by the message's number
	var mu sync.Mutex
	commits := map[int]time.Time{}
	worker := func(ch *amqp.Channel) error {
		return b.storeBare(ctx, ch, pipelineLinger, func(messages []amqp.Delivery) {
			now := time.Now()
			mu.Lock()
			defer mu.Unlock()
			for i := range messages {
				if n, err := strconv.Atoi(messages[i].MessageId); err == nil {
					commits[n] = now
				}
			}
		})
	}
	roles := make(chan func(*amqp.Channel) error, 3)
	roles <- worker
	roles <- worker
	roles <- func(ch *amqp.Channel) error {
		return publishPaced(ctx, ch, message, publishWindow, bare.Pace, func(sent time.Time, took time.Duration) {
			confirms = append(confirms, sent.Add(took))
		})
	}
	err := b.onConnections(cap(roles), func(ch *amqp.Channel) error { return (<-roles)(ch) })
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	var latencies figures.Durations
	for n, confirmed := range confirms {
		if committed, ok := commits[n]; ok && confirmed.After(from) {
			latencies = append(latencies, max(0, committed.Sub(confirmed)))
		}
	}
	if len(latencies) == 0 {
		return errors.New("nothing was stored")
	}
	r.AddLatencies("limits.latency", latencies)
	return b.purge()
}
