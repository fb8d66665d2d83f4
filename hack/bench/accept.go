package main

import (
	"context"
	"errors"
	"fmt"
)

const (
	batchSize        = 1000
	batchConnections = 4
)

// accept measures a producer, with nobody who consumes.
func accept(ctx context.Context, b *bench, r *report) (err error) {
	if err := b.purge(); err != nil {
		return err
	}
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(), b.purge()) }()
	if err := acceptFrom(ctx, b, r, p, "accept."); err != nil {
		return err
	}
	// Open loop, at half of what it can: latency at a rate that clients set.
	rate := r.figures["accept.single_256.rate"].median() / 2
	latencies, err := openLoop(ctx, p.addr, 256, rate, b.duration, request("/log", mediaArray, requestEvent(1, "", payload)), nil)
	if err != nil {
		return err
	}
	r.addLatencies("accept.open_half", latencies)
	return nil
}

// acceptFrom measures one event a request and batches, closed loop.
func acceptFrom(ctx context.Context, b *bench, r *report, p *service, prefix string) error {
	for _, connections := range []int{64, 256} {
		name := fmt.Sprintf("%ssingle_%d", prefix, connections)
		if err := b.postSingles(ctx, r, p, name, connections); err != nil {
			return err
		}
		peak, err := peakMemory(p.cmd.Process.Pid)
		if err != nil {
			return err
		}
		r.add(name+".peak_mib", peak) // since the producer's start
		if err := b.purge(); err != nil {
			return err
		}
	}
	for _, kind := range []struct{ name, media string }{{"batch_json", mediaArray}, {"batch_ndjson", mediaLines}} {
		name := prefix + kind.name
		used, err := b.measureUse(p)
		if err != nil {
			return err
		}
		requests, latencies, err := closedLoop(ctx, p.addr, batchConnections, b.duration, request("/log/batch", kind.media, batchOf(kind.media, batchSize, payload)))
		if err != nil {
			return err
		}
		r.add(name+".rate", requests*batchSize)
		r.addLatencies(name, latencies)
		if err := used.end(r, name, requests*batchSize*(b.duration+warmUp).Seconds()); err != nil {
			return err
		}
		if err := b.purge(); err != nil {
			return err
		}
	}
	return nil
}

// bigBatch measures the memory that batches of nearly 16 MiB take.
func bigBatch(ctx context.Context, b *bench, r *report) (err error) {
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop(), b.purge()) }()
	const events = 9_000
	body := batchOf(mediaLines, events, largePayload(16<<20/events-200))
	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer c.close()
	for range 3 {
		if _, err := c.post(request("/log/batch", mediaLines, body)); err != nil {
			return err
		}
	}
	peak, err := peakMemory(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	r.add("memory.big_batch_mib", peak)
	return nil
}

// postSingles measures a service that gets one event a request, closed loop.
func (b *bench) postSingles(ctx context.Context, r *report, s *service, name string, connections int) error {
	used, err := b.measureUse(s)
	if err != nil {
		return err
	}
	rate, latencies, err := closedLoop(ctx, s.addr, connections, b.duration, request("/log", mediaArray, requestEvent(1, "", payload)))
	if err != nil {
		return err
	}
	r.add(name+".rate", rate)
	r.addLatencies(name, latencies)
	return used.end(r, name, rate*(b.duration+warmUp).Seconds())
}
