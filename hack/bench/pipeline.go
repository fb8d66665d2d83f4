package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"
)

// The consumer's prefetch and batch: README, "Configuration".
const (
	pipelinePrefetch = 2048 // messages of a worker
	pipelineRows     = 1000 // of a transaction, at least
)

// pipelineLimit is what workers that only consume groups, COPY as many rows and ack them store of a full queue: nothing is
// parsed or checked, an event's row is made up, and there are no sessions. A consumer has two workers.
func pipelineLimit(workers int) func(context.Context, *bench, *report) error {
	return func(ctx context.Context, b *bench, r *report) error {
		if err := b.clean(ctx); err != nil {
			return err
		}
		if err := b.fill(ctx, b.events, payload); err != nil {
			return err
		}
		var stored atomic.Int64
		var first, last atomic.Pointer[mark] // after a tenth and after nine, as for the consumers
		total := int64(b.events)
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		err := b.onConnections(workers, func(ch *amqp.Channel) error {
			err := b.storeBare(ctx, ch, func(rows int) {
				n := stored.Add(int64(rows))
				now := &mark{time.Now(), n}
				if n >= total/10 {
					first.CompareAndSwap(nil, now)
				}
				if n >= total-total/10 {
					last.CompareAndSwap(nil, now)
				}
				if n >= total {
					cancel()
				}
			})
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
		from, to := first.Load(), last.Load()
		r.add(fmt.Sprintf("limits.pipeline_%d", workers), float64(to.n-from.n)/to.at.Sub(from.at).Seconds())
		return b.expectRows(context.WithoutCancel(ctx), b.events)
	}
}

// mark is how many were stored when.
type mark struct {
	at time.Time
	n  int64
}

// storeBare is a worker. It returns when ctx ends.
func (b *bench) storeBare(ctx context.Context, ch *amqp.Channel, stored func(rows int)) error {
	conn, err := pgx.ConnectConfig(ctx, b.database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := ch.Qos(pipelinePrefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.ConsumeWithContext(ctx, queueName, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	ids := newIDs()
	for {
		rows, newest := 0, amqp.Delivery{}
		wait := time.After(time.Hour)
		for rows < pipelineRows {
			select {
			case d, open := <-deliveries:
				if !open {
					return errors.Join(ctx.Err(), errors.New("the broker ended the consumer"))
				}
				rows += eventsOf(&d)
				newest = d
				wait = time.After(20 * time.Millisecond) // CONSUMER_LINGER
				continue
			case <-wait:
			case <-ctx.Done():
				return ctx.Err()
			}
			break
		}
		if err := copyRows(ctx, conn, "log_events", ids, rows); err != nil {
			return err
		}
		if err := newest.Ack(true); err != nil {
			return err
		}
		stored(rows)
	}
}
