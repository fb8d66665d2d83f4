package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

// The consumer's defaults: README, "Configuration".
const (
	pipelinePrefetch   = 2048                  // messages of a worker
	pipelineRows       = 1000                  // of a transaction that need not wait for more
	pipelineLinger     = 2 * time.Millisecond  // how long others wait
	pipelineLateLinger = 20 * time.Millisecond // and those whose events are late
)

// pipelineLimit is what workers that only consume groups, COPY as many rows and ack them store of a full queue: nothing is
// parsed or checked, an event's row is made up, and there are no sessions. A consumer has two workers.
func pipelineLimit(workers int) func(context.Context, *bench, *figures.Report) error {
	return func(ctx context.Context, b *bench, r *figures.Report) error {
		if err := b.clean(ctx); err != nil {
			return err
		}
		if err := b.fill(ctx, b.events, workload.Payload); err != nil {
			return err
		}
		var stored atomic.Int64
		var first, last atomic.Pointer[mark] // after a tenth and after nine, as for the consumers
		total := int64(b.events)
		ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
		defer cancel()
		err := b.onConnections(workers, func(ch *amqp.Channel) error {
			err := b.storeBare(ctx, ch, pipelineLateLinger, func(messages []amqp.Delivery) {
				n := stored.Add(int64(eventsOf(messages)))
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
		from, to := first.Load(), last.Load()
		if err == nil && stored.Load() < total {
			err = ctx.Err() // the bench was interrupted
		}
		if err != nil {
			return err
		}
		r.Add(fmt.Sprintf("limits.pipeline_%d", workers), float64(to.n-from.n)/to.at.Sub(from.at).Seconds())
		return b.expectRows(context.WithoutCancel(ctx), b.events)
	}
}

// mark is how many were stored when.
type mark struct {
	at time.Time
	n  int64
}

// storeBare is a worker, and tells what it has stored. It returns when ctx ends.
func (b *bench) storeBare(ctx context.Context, ch *amqp.Channel, linger time.Duration, stored func([]amqp.Delivery)) error {
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
	ids := workload.NewIDs(time.Now().Add(-time.Minute))
	for {
		batch, err := collect(ctx, deliveries, linger)
		if err != nil {
			return err
		}
		if err := copyRows(ctx, conn, "log_events", ids, eventsOf(batch)); err != nil {
			return err
		}
		if err := batch[len(batch)-1].Ack(true); err != nil {
			return err
		}
		stored(batch)
	}
}

// collect returns a batch's messages: as many events as are enough, or those that came until linger was over.
func collect(ctx context.Context, deliveries <-chan amqp.Delivery, linger time.Duration) (batch []amqp.Delivery, err error) {
	var over <-chan time.Time
	for events := 0; events < pipelineRows; {
		select {
		case d, open := <-deliveries:
			if !open {
				return nil, errors.Join(ctx.Err(), errors.New("the broker ended the consumer"))
			}
			batch = append(batch, d)
			events += eventsOf(batch[len(batch)-1:])
			if over == nil {
				over = time.After(linger)
			}
		case <-over:
			return batch, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return batch, nil
}
