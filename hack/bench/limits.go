package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/load"
	"github.com/trailpost/trailpost/hack/bench/service"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

// The limits are what the servers take from a client that does nothing else, of events like those of the
// other measurements, one a message.
const (
	limitConnections = 2
	publishWindow    = 500 // messages without a confirm, on each connection
	ackEvery         = 1000
	copyBatch        = 1000 // rows a transaction
)

// brokerLimits are both of the broker's: what is consumed was published before.
func brokerLimits(ctx context.Context, b *bench, r *figures.Report) error {
	if err := publishLimit(ctx, b, r); err != nil {
		return err
	}
	return consumeLimit(ctx, b, r)
}

// publishLimit is a bare loop of confirmed, persistent publishes. The messages stay for consumeLimit.
func publishLimit(ctx context.Context, b *bench, r *figures.Report) error {
	if err := b.purge(); err != nil {
		return err
	}
	start := time.Now()
	from, to := start.Add(load.WarmUp), start.Add(load.WarmUp+b.duration)
	var confirmed atomic.Int64
	err := b.onConnections(limitConnections, func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		confirms := ch.NotifyPublish(make(chan amqp.Confirmation, publishWindow))
		body, outstanding := workload.Queued(), 0
		confirm := func() error {
			c, open := <-confirms
			if !open || !c.Ack {
				return errors.New("not confirmed")
			}
			outstanding--
			if now := time.Now(); now.After(from) && now.Before(to) {
				confirmed.Add(1)
			}
			return nil
		}
		for time.Now().Before(to) {
			message := amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: workload.MediaArray, Body: body}
			if err := ch.PublishWithContext(ctx, "", queueName, false, false, message); err != nil {
				return err
			}
			for outstanding++; outstanding >= publishWindow || len(confirms) > 0; {
				if err := confirm(); err != nil {
					return err
				}
			}
		}
		for outstanding > 0 {
			if err := confirm(); err != nil {
				return err
			}
		}
		return nil
	})
	r.Add("limits.publish", float64(confirmed.Load())/b.duration.Seconds())
	return err
}

// consumeLimit takes the messages that publishLimit left, and acks a thousand at a time.
func consumeLimit(ctx context.Context, b *bench, r *figures.Report) error {
	var left int
	// The broker's count of a quorum queue lags behind.
	err := service.Until(ctx, "the queue is counted", 100*time.Millisecond, func() (bool, error) {
		q, err := b.ch.QueueDeclarePassive(queueName, true, false, false, false, nil)
		settled := q.Messages > 0 && q.Messages == left
		left = q.Messages
		return settled, err
	})
	if err != nil {
		return err
	}
	var taken atomic.Int64
	start := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = b.onConnections(limitConnections, func(ch *amqp.Channel) error {
		if err := ch.Qos(2*ackEvery, 0, false); err != nil {
			return err
		}
		deliveries, err := ch.ConsumeWithContext(ctx, queueName, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		for n := 1; ; n++ {
			select {
			case d, open := <-deliveries:
				if !open {
					return nil
				}
				all := taken.Add(1) == int64(left)
				if n%ackEvery == 0 || all {
					if err := d.Ack(true); err != nil {
						return err
					}
				}
				if all {
					cancel()
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
	r.Add("limits.consume", float64(taken.Load())/time.Since(start).Seconds())
	return err
}

// onConnections runs do on channels, each on a connection of its own.
func (b *bench) onConnections(n int, do func(*amqp.Channel) error) error {
	errs := make([]error, n)
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			conn, err := amqp.Dial(b.brokerURL)
			if err != nil {
				errs[i] = err
				return
			}
			defer conn.Close()
			ch, err := conn.Channel()
			if err == nil {
				err = do(ch)
			}
			errs[i] = err
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// copyLimit is bare COPY, a thousand rows a transaction, into a table that is partitioned and indexed as the trail,
// without sessions.
func copyLimit(ctx context.Context, b *bench, r *figures.Report) error {
	err := b.exec(ctx,
		"DROP TABLE IF EXISTS bench_events",
		"CREATE TABLE bench_events (LIKE log_events INCLUDING ALL) PARTITION BY RANGE (event_id)",
		"CREATE TABLE bench_events_all PARTITION OF bench_events DEFAULT")
	if err != nil {
		return err
	}
	start := time.Now()
	from, to := start.Add(load.WarmUp), start.Add(load.WarmUp+b.duration)
	var copied atomic.Int64
	errs := make([]error, limitConnections)
	var running sync.WaitGroup
	for i := range errs {
		running.Go(func() {
			errs[i] = b.copyUntil(ctx, "bench_events", to, func(rows int) {
				if now := time.Now(); now.After(from) && now.Before(to) {
					copied.Add(int64(rows))
				}
			})
		})
	}
	running.Wait()
	r.Add("limits.copy", float64(copied.Load())/b.duration.Seconds())
	return errors.Join(errors.Join(errs...), b.exec(ctx, "DROP TABLE bench_events"))
}

// copyUntil copies batch after batch on a connection of its own.
func (b *bench) copyUntil(ctx context.Context, table string, to time.Time, copied func(rows int)) error {
	conn, err := pgx.ConnectConfig(ctx, b.database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	ids := workload.NewIDs(time.Now().Add(-time.Minute))
	for time.Now().Before(to) {
		if err := copyRows(ctx, conn, table, ids, copyBatch); err != nil {
			return err
		}
		copied(copyBatch)
	}
	return nil
}

// copyRows copies a batch of events in COPY's binary format (PostgreSQL's documentation of COPY).
func copyRows(ctx context.Context, conn *pgx.Conn, table string, ids *workload.IDs, rows int) error {
	now := time.Now().UnixMicro() - time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	data := append([]byte("PGCOPY\n\xff\r\n\x00"), make([]byte, 8)...)
	field := func(value []byte) {
		data = binary.BigEndian.AppendUint32(data, uint32(len(value))) //nolint:gosec // an event is small
		data = append(data, value...)
	}
	number := func(n int64) { field(binary.BigEndian.AppendUint64(nil, uint64(n))) } //nolint:gosec // two's complement
	for i := range rows {
		id := ids.Next()
		data = binary.BigEndian.AppendUint16(data, 6)
		field(id[:])
		number(int64(1 + i%workload.Sessions))
		field([]byte("llm_query"))
		number(now)
		number(now)
		field([]byte("\x01" + workload.Payload))
	}
	data = append(data, 0xff, 0xff)
	sql := fmt.Sprintf(`COPY %s (event_id, session_id, event_type, "timestamp", received_at, payload) FROM STDIN WITH (FORMAT binary)`, table)
	_, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(data), sql)
	return err
}

func (b *bench) exec(ctx context.Context, statements ...string) error {
	for _, sql := range statements {
		if _, err := b.admin.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}
