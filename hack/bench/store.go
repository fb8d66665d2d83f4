package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/load"
	"github.com/trailpost/trailpost/hack/bench/procfs"
	"github.com/trailpost/trailpost/hack/bench/service"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

// fill puts events on the queue, with a producer of some settings.
func (b *bench) fill(ctx context.Context, events int, payload string, settings ...string) (err error) {
	p, err := b.producer(ctx, settings...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	c, err := load.Dial(p.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	batch := load.Request("/log/batch", workload.MediaLines, workload.Batch(workload.MediaLines, batchSize, payload))
	for range events / batchSize {
		if _, err := c.Post(batch); err != nil {
			return err
		}
	}
	return nil
}

// drain measures consumers.
func (b *bench) drain(ctx context.Context, r *figures.Report, name string, consumers, events int, metrics ...string) error {
	start := func() (*service.Service, error) { return b.consumer(ctx) }
	return b.drainWith(ctx, r, name, start, consumers, events, metrics...)
}

// drainWith starts what consumes and measures how fast a full queue gets empty: events a second while the second to the
// ninth tenth of them are settled, so that neither the start nor the last batches count.
func (b *bench) drainWith(ctx context.Context, r *figures.Report, name string, start func() (*service.Service, error), consumers, events int, metrics ...string) (err error) {
	var all []*service.Service
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.Stop())
		}
	}()
	for range consumers {
		c, err := start()
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	settled := func() (sum float64, err error) {
		for _, c := range all {
			for _, m := range metrics {
				n, err := c.Metric(m)
				if err != nil {
					return 0, err
				}
				sum += n
			}
		}
		return sum, nil
	}
	var first, last struct {
		at time.Time
		n  float64
	}
	used, err := b.measureUse(all...)
	if err != nil {
		return err
	}
	err = service.Until(ctx, "everything is stored", 50*time.Millisecond, func() (bool, error) {
		n, err := settled()
		now := time.Now()
		if first.at.IsZero() && n >= 0.1*float64(events) {
			first.at, first.n = now, n
		}
		if last.at.IsZero() || n <= 0.9*float64(events) {
			last.at, last.n = now, n
		}
		return n >= float64(events), err
	})
	if err != nil {
		return err
	}
	if err := used.end(r, name, float64(events)); err != nil {
		return err
	}
	if last.n <= first.n {
		return fmt.Errorf("%d events are too few to measure: %.0f and %.0f were seen settled", events, first.n, last.n)
	}
	r.Add(name+".rate", (last.n-first.n)/last.at.Sub(first.at).Seconds())
	if consumers == 1 {
		peak, err := procfs.PeakMemory(all[0].PID())
		if err != nil {
			return err
		}
		r.Add(name+".peak_mib", peak)
	}
	return nil
}

// Metrics of what the consumer settles.
const (
	metricStored    = "trailpost_events_stored_total"
	metricDuplicate = "trailpost_events_duplicate_total"
)

func storeGroups(consumers int) func(context.Context, *bench, *figures.Report) error {
	return func(ctx context.Context, b *bench, r *figures.Report) error {
		return b.storeFull(ctx, r, fmt.Sprintf("store.consumers_%d", consumers), consumers, b.events, workload.Payload)
	}
}

// storeSingles is a queue of one event a message.
func storeSingles(ctx context.Context, b *bench, r *figures.Report) error {
	return b.storeFull(ctx, r, "store.singles", 1, b.events/3, workload.Payload, "RABBITMQ_EVENTS_PER_MESSAGE=1")
}

// storeFull fills the queue and has consumers store it into an empty trail.
func (b *bench) storeFull(ctx context.Context, r *figures.Report, name string, consumers, events int, payload string, settings ...string) error {
	events -= events % batchSize // fill puts whole batches
	if err := b.clean(ctx); err != nil {
		return err
	}
	if err := b.fill(ctx, events, payload, settings...); err != nil {
		return err
	}
	if err := b.drain(ctx, r, name, consumers, events, metricStored); err != nil {
		return err
	}
	return b.expectRows(ctx, events)
}

// storeRepeats is a queue in which one event of a thousand was there before, some batches ago.
func storeRepeats(name string, ago int) func(context.Context, *bench, *figures.Report) error {
	return func(ctx context.Context, b *bench, r *figures.Report) error {
		if err := b.clean(ctx); err != nil {
			return err
		}
		repeats, err := b.fillWithRepeats(ctx, ago)
		if err != nil {
			return err
		}
		if err := b.drain(ctx, r, name, 1, b.events, metricStored, metricDuplicate); err != nil {
			return err
		}
		return b.expectRows(ctx, b.events-repeats)
	}
}

// fillWithRepeats puts events on the queue in batches, of which each begins with the middle event of the one some
// batches ago.
func (b *bench) fillWithRepeats(ctx context.Context, ago int) (repeats int, err error) {
	p, err := b.producer(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	c, err := load.Dial(p.Addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ids := workload.NewIDs(time.Now().Add(-time.Minute))
	middles := make([][]byte, b.events/batchSize)
	for n := range middles {
		events := make([][]byte, batchSize)
		for i := range events {
			events[i] = workload.Request(i, ids.Next().String(), workload.Payload)
		}
		middles[n] = events[batchSize/2]
		if n >= ago {
			events[0] = middles[n-ago]
			repeats++
		}
		if _, err := c.Post(load.Request("/log/batch", workload.MediaLines, workload.Join(workload.MediaLines, events))); err != nil {
			return 0, err
		}
	}
	return repeats, nil
}

// storeAgain is a queue that was delivered once and lost, and whose events are all in the trail: the worst that a
// consumer which died after its commits can leave.
func storeAgain(ctx context.Context, b *bench, r *figures.Report) error {
	if err := b.clean(ctx); err != nil {
		return err
	}
	if err := b.fill(ctx, b.events, workload.Payload); err != nil {
		return err
	}
	messages, err := b.takeAndLose(ctx, b.events)
	if err != nil {
		return err
	}
	if err := b.drain(ctx, r, "store.redelivered", 1, b.events, metricStored); err != nil {
		return err
	}
	if err := b.publishAll(ctx, messages); err != nil {
		return err
	}
	if _, err := b.takeAndLose(ctx, b.events); err != nil {
		return err
	}
	if err := b.drain(ctx, r, "store.stored_already", 1, b.events, metricDuplicate); err != nil {
		return err
	}
	return b.expectRows(ctx, b.events)
}

// takeAndLose consumes all that is there and acks nothing, so that all comes again, marked as redelivered.
func (b *bench) takeAndLose(ctx context.Context, events int) (messages []amqp.Publishing, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err = b.onConnections(1, func(ch *amqp.Channel) error {
		// Without a prefetch, a quorum queue delivers 2,000 messages and then waits for acks.
		if err := ch.Qos(math.MaxUint16, 0, false); err != nil {
			return err
		}
		deliveries, err := ch.ConsumeWithContext(ctx, queueName, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		for got := 0; got < events; {
			select {
			case d, open := <-deliveries:
				if !open {
					return amqp.ErrClosed
				}
				got += eventsOf([]amqp.Delivery{d})
				messages = append(messages, amqp.Publishing{
					DeliveryMode: amqp.Persistent, ContentType: d.ContentType, MessageId: d.MessageId,
					Type: d.Type, Timestamp: d.Timestamp, AppId: d.AppId, Headers: d.Headers, Body: d.Body,
				})
			case <-ctx.Done():
				return fmt.Errorf("took %d of %d events: %w", got, events, ctx.Err())
			}
		}
		return nil
	})
	return messages, err
}

// eventsOf is how many events messages have.
func eventsOf(messages []amqp.Delivery) (sum int) {
	for i := range messages {
		n, ok := messages[i].Headers["events"].(int32)
		if !ok {
			n = 1
		}
		sum += int(n)
	}
	return sum
}

func (b *bench) publishAll(ctx context.Context, messages []amqp.Publishing) error {
	return b.onConnections(1, func(ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		confirms := ch.NotifyPublish(make(chan amqp.Confirmation, len(messages)))
		for _, m := range messages {
			if err := ch.PublishWithContext(ctx, "", queueName, false, false, m); err != nil {
				return err
			}
		}
		for range messages {
			if c, open := <-confirms; !open || !c.Ack {
				return errors.New("not confirmed")
			}
		}
		return nil
	})
}
