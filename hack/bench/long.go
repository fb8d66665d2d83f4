package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/load"
	"github.com/trailpost/trailpost/hack/bench/service"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

// What the long run adds.
const (
	largeTableRows  = 10_000_000
	longQueueEvents = 1_000_000
	largeEventBytes = 10 << 10
)

// largeTable measures storing into a trail that has ten million rows.
func largeTable(ctx context.Context, b *bench, r *figures.Report) error {
	if err := b.clean(ctx); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, b.database)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// Over the month up to now, as a trail grows.
	ids := workload.NewIDs(time.Now().Add(-largeTableRows / 100 * time.Millisecond))
	for range largeTableRows / copyBatch / 10 {
		if err := copyRows(ctx, conn, "log_events", ids, 10*copyBatch); err != nil {
			return err
		}
	}
	if err := b.exec(ctx, "ANALYZE log_events", "CHECKPOINT"); err != nil {
		return err
	}
	if err := b.fill(ctx, b.events, workload.Payload); err != nil {
		return err
	}
	if err := b.drain(ctx, r, "table.large", 1, b.events, metricStored); err != nil {
		return err
	}
	return errors.Join(b.expectRows(ctx, largeTableRows+b.events), b.clean(ctx))
}

// longQueue measures accepting while a million events wait.
func longQueue(ctx context.Context, b *bench, r *figures.Report) (err error) {
	if err := b.purge(); err != nil {
		return err
	}
	// One a message: the queue is long in the broker's measure.
	if err := b.fill(ctx, longQueueEvents, workload.Payload, "RABBITMQ_EVENTS_PER_MESSAGE=1"); err != nil {
		return err
	}
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop(), b.purge()) }()
	rate, latencies, err := load.ClosedLoop(ctx, p.Addr, 64, b.duration, load.Request("/log", workload.MediaArray, workload.Request(1, "", workload.Payload)))
	if err != nil {
		return err
	}
	r.Add("queue.long.single_64.rate", rate)
	r.AddLatencies("queue.long.single_64", latencies)
	return nil
}

// largeEvents measures events of 10 KiB.
func largeEvents(ctx context.Context, b *bench, r *figures.Report) (err error) {
	if err := b.clean(ctx); err != nil {
		return err
	}
	large := workload.LargePayload(largeEventBytes)
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	rate, latencies, err := load.ClosedLoop(ctx, p.Addr, 64, b.duration, load.Request("/log", workload.MediaArray, workload.Request(1, "", large)))
	if err := errors.Join(err, p.Stop(), b.purge()); err != nil {
		return err
	}
	r.Add("payload.10k.single_64.rate", rate)
	r.AddLatencies("payload.10k.single_64", latencies)
	return b.storeFull(ctx, r, "payload.10k.store", 1, b.events/10, large)
}

const (
	soakRate      = 2000 // events a second
	soakSamples   = 400  // in all
	soakMayGrowBy = 0.10 // a resource's mean of the last quarter over that of the second
)

// resources are what a process must not use more and more of.
var resources = []string{"process_resident_memory_bytes", "go_goroutines", "process_open_fds"}

// soak has producer and consumer work at a steady rate for long, and fails if they use more in the last quarter than in the
// second, or if an event is not stored. The first quarter is for warming up.
func soak(ctx context.Context, b *bench, r *figures.Report) error {
	return b.withBoth(ctx, func(p, c *service.Service) error { return b.soakBoth(ctx, p, c, r) })
}

func (b *bench) soakBoth(ctx context.Context, p, c *service.Service, r *figures.Report) error {
	services := map[string]*service.Service{"producer": p, "consumer": c}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	used := make(map[string]figures.Samples)
	go func() { watched <- watchResources(watching, services, b.soak/soakSamples, used) }()
	latencies, err := load.OpenLoop(ctx, p.Addr, 64, soakRate, b.soak, load.Request("/log", workload.MediaArray, workload.Request(1, "", workload.Payload)), nil)
	stop()
	if err := errors.Join(err, <-watched); err != nil {
		return err
	}
	r.AddLatencies("soak.accept", latencies)

	accepted, err := p.Metric("trailpost_events_accepted_total")
	if err != nil {
		return err
	}
	if int(accepted) < len(latencies) {
		return fmt.Errorf("%.0f events accepted, the load was told of %d", accepted, len(latencies))
	}
	err = service.Until(ctx, "everything is stored", 100*time.Millisecond, func() (bool, error) {
		stored, err := c.Metric(metricStored)
		return stored >= accepted, err
	})
	if err != nil {
		return err
	}
	var grown error
	for who := range services {
		for _, resource := range resources {
			name := who + "." + resource
			second, last := quarter(used[name], 2), quarter(used[name], 4)
			r.Add("soak."+name+".second_quarter", second)
			r.Add("soak."+name+".last_quarter", last)
			fmt.Printf("%-42s %12.0f in the second quarter, %12.0f in the last (%+.1f %%), of %d samples\n",
				name, second, last, 100*(last/second-1), len(used[name]))
			if last > second*(1+soakMayGrowBy) {
				grown = errors.Join(grown, fmt.Errorf("%s has grown from %.0f to %.0f", name, second, last))
			}
		}
	}
	fmt.Printf("%.0f events accepted and stored\n", accepted)
	return errors.Join(grown, b.expectRows(ctx, int(accepted)))
}

// watchResources takes samples until the context ends.
func watchResources(ctx context.Context, services map[string]*service.Service, every time.Duration, used map[string]figures.Samples) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		for who, s := range services {
			for _, resource := range resources {
				n, err := s.Metric(resource)
				if err != nil {
					return err
				}
				used[who+"."+resource] = append(used[who+"."+resource], n)
			}
		}
	}
}

// quarter is the mean of the n-th quarter, from 1, of samples in the order of time.
func quarter(s figures.Samples, n int) float64 {
	part := s[(n-1)*len(s)/4 : n*len(s)/4]
	var sum float64
	for _, v := range part {
		sum += v
	}
	return sum / float64(len(part))
}
