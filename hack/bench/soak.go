package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	soakRate      = 2000 // events a second
	soakSamples   = 400  // in all
	soakMayGrowBy = 0.10 // a resource's mean of the last quarter over that of the second
)

// resources are what a process must not use more and more of.
var resources = []string{"process_resident_memory_bytes", "go_goroutines", "process_open_fds"}

// soak has producer and consumer work at a steady rate for long, and fails if they use more in the last quarter than in the
// second, or if an event is not stored. The first quarter is for warming up.
func soak(ctx context.Context, b *bench, r *report) error {
	return b.withBoth(ctx, func(p, c *service) error { return b.soakBoth(ctx, p, c, r) })
}

func (b *bench) soakBoth(ctx context.Context, p, c *service, r *report) error {
	services := map[string]*service{"producer": p, "consumer": c}
	watching, stop := context.WithCancel(ctx)
	watched := make(chan error, 1)
	used := make(map[string]samples)
	go func() { watched <- watchResources(watching, services, b.soak/soakSamples, used) }()
	latencies, err := openLoop(ctx, p.addr, 64, soakRate, b.soak, request("/log", mediaArray, requestEvent(1, "", payload)), nil)
	stop()
	if err := errors.Join(err, <-watched); err != nil {
		return err
	}
	r.addLatencies("soak.accept", latencies)

	accepted, err := p.metric("trailpost_events_accepted_total")
	if err != nil {
		return err
	}
	if int(accepted) < len(latencies) {
		return fmt.Errorf("%.0f events accepted, the load was told of %d", accepted, len(latencies))
	}
	err = until(ctx, "everything is stored", 100*time.Millisecond, func() (bool, error) {
		stored, err := c.metric(metricStored)
		return stored >= accepted, err
	})
	if err != nil {
		return err
	}
	var grown error
	for who := range services {
		for _, resource := range resources {
			name := who + "." + resource
			second, last := used[name].quarter(2), used[name].quarter(4)
			r.add("soak."+name+".second_quarter", second)
			r.add("soak."+name+".last_quarter", last)
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
func watchResources(ctx context.Context, services map[string]*service, every time.Duration, used map[string]samples) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		for who, s := range services {
			for _, resource := range resources {
				n, err := s.metric(resource)
				if err != nil {
					return err
				}
				used[who+"."+resource] = append(used[who+"."+resource], n)
			}
		}
	}
}

// quarter is the mean of the n-th quarter, from 1, of samples in the order of time.
func (s samples) quarter(n int) float64 {
	part := s[(n-1)*len(s)/4 : n*len(s)/4]
	var sum float64
	for _, v := range part {
		sum += v
	}
	return sum / float64(len(part))
}
