package main

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// What the long run adds.
const (
	largeTableRows  = 10_000_000
	longQueueEvents = 1_000_000
	largeEventBytes = 10 << 10
)

// largeTable measures storing into a trail that has ten million rows.
func largeTable(ctx context.Context, b *bench, r *report) error {
	if err := b.clean(ctx); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, b.database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// Over the month up to now, as a trail grows.
	ids := newIDs()
	ids.from = time.Now().Add(-largeTableRows / 100 * time.Millisecond)
	for range largeTableRows / copyBatch / 10 {
		if err := copyRows(ctx, conn, "log_events", ids, 10*copyBatch); err != nil {
			return err
		}
	}
	if err := b.exec(ctx, "ANALYZE log_events", "CHECKPOINT"); err != nil {
		return err
	}
	if err := b.fill(ctx, b.events, payload); err != nil {
		return err
	}
	if err := b.drain(ctx, r, "table.large", 1, b.events, metricStored); err != nil {
		return err
	}
	return errors.Join(b.expectRows(ctx, largeTableRows+b.events), b.clean(ctx))
}

// longQueue measures accepting while a million events wait.
func longQueue(ctx context.Context, b *bench, r *report) (err error) {
	if err := b.purge(); err != nil {
		return err
	}
	// One a message: the queue is long in the broker's measure.
	if err := b.fill(ctx, longQueueEvents, payload, "RABBITMQ_EVENTS_PER_MESSAGE=1"); err != nil {
		return err
	}
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(), b.purge()) }()
	rate, latencies, err := closedLoop(ctx, p.addr, 64, b.duration, request("/log", mediaArray, requestEvent(1, "", payload)))
	if err != nil {
		return err
	}
	r.add("queue.long.single_64.rate", rate)
	r.addLatencies("queue.long.single_64", latencies)
	return nil
}

// largeEvents measures events of 10 KiB.
func largeEvents(ctx context.Context, b *bench, r *report) (err error) {
	if err := b.clean(ctx); err != nil {
		return err
	}
	large := largePayload(largeEventBytes)
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	rate, latencies, err := closedLoop(ctx, p.addr, 64, b.duration, request("/log", mediaArray, requestEvent(1, "", large)))
	if err := errors.Join(err, p.stop(), b.purge()); err != nil {
		return err
	}
	r.add("payload.10k.single_64.rate", rate)
	r.addLatencies("payload.10k.single_64", latencies)
	return b.storeFull(ctx, r, "payload.10k.store", 1, b.events/10, large)
}
