package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/load"
	"github.com/trailpost/trailpost/hack/bench/procfs"
	"github.com/trailpost/trailpost/hack/bench/service"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

const (
	batchSize        = 1000
	batchConnections = 4
)

// accept measures a producer, with nobody who consumes.
func accept(ctx context.Context, b *bench, r *figures.Report) (err error) {
	if err := b.purge(); err != nil {
		return err
	}
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop(), b.purge()) }()
	if err := acceptFrom(ctx, b, r, p, "accept."); err != nil {
		return err
	}
	// Open loop, at half of what it can: latency at a rate that clients set.
	rate := r.Median("accept.single_256.rate") / 2
	latencies, err := load.OpenLoop(ctx, p.Addr, 256, rate, b.duration, load.Request("/log", workload.MediaArray, workload.Request(1, "", workload.Payload)), nil)
	if err != nil {
		return err
	}
	r.AddLatencies("accept.open_half", latencies)
	return nil
}

// acceptFrom measures one event a request and batches, closed loop.
func acceptFrom(ctx context.Context, b *bench, r *figures.Report, p *service.Service, prefix string) error {
	for _, connections := range []int{64, 256} {
		name := fmt.Sprintf("%ssingle_%d", prefix, connections)
		if err := b.postSingles(ctx, r, p, name, connections); err != nil {
			return err
		}
		peak, err := procfs.PeakMemory(p.PID())
		if err != nil {
			return err
		}
		r.Add(name+".peak_mib", peak) // since the producer's start
		if err := b.purge(); err != nil {
			return err
		}
	}
	for _, kind := range []struct{ name, media string }{{"batch_json", workload.MediaArray}, {"batch_ndjson", workload.MediaLines}} {
		name := prefix + kind.name
		used, err := b.measureUse(p)
		if err != nil {
			return err
		}
		requests, latencies, err := load.ClosedLoop(ctx, p.Addr, batchConnections, b.duration, load.Request("/log/batch", kind.media, workload.Batch(kind.media, batchSize, workload.Payload)))
		if err != nil {
			return err
		}
		r.Add(name+".rate", requests*batchSize)
		r.AddLatencies(name, latencies)
		if err := used.end(r, name, requests*batchSize*(b.duration+load.WarmUp).Seconds()); err != nil {
			return err
		}
		if err := b.purge(); err != nil {
			return err
		}
	}
	return nil
}

// bigBatch measures the memory that batches of nearly 16 MiB take.
func bigBatch(ctx context.Context, b *bench, r *figures.Report) (err error) {
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop(), b.purge()) }()
	const events = 9_000
	body := workload.Batch(workload.MediaLines, events, workload.LargePayload(16<<20/events-200))
	c, err := load.Dial(p.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	for range 3 {
		if _, err := c.Post(load.Request("/log/batch", workload.MediaLines, body)); err != nil {
			return err
		}
	}
	peak, err := procfs.PeakMemory(p.PID())
	if err != nil {
		return err
	}
	r.Add("memory.big_batch_mib", peak)
	return nil
}

// postSingles measures a service that gets one event a request, closed loop.
func (b *bench) postSingles(ctx context.Context, r *figures.Report, s *service.Service, name string, connections int) error {
	used, err := b.measureUse(s)
	if err != nil {
		return err
	}
	rate, latencies, err := load.ClosedLoop(ctx, s.Addr, connections, b.duration, load.Request("/log", workload.MediaArray, workload.Request(1, "", workload.Payload)))
	if err != nil {
		return err
	}
	r.Add(name+".rate", rate)
	r.AddLatencies(name, latencies)
	return used.end(r, name, rate*(b.duration+load.WarmUp).Seconds())
}

// lateBy is how much later confirms come, in milliseconds, as they do from a cluster whose nodes are apart.
const lateBy = 10

// lateConfirms measures accepting from a broker whose answers are late, and what is accepted by a bare server.
func lateConfirms(ctx context.Context, b *bench, r *figures.Report) error {
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxiproxy's
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, "late", "127.0.0.1:0", net.JoinHostPort(b.broker.Host, strconv.Itoa(b.broker.Port)))
	if err := proxy.Start(); err != nil {
		return err
	}
	defer proxy.Stop()
	_, port, err := net.SplitHostPort(proxy.Listen)
	if err != nil {
		return err
	}
	toxic := fmt.Sprintf(`{"name":"late","type":"latency","stream":"downstream","toxicity":1,"attributes":{"latency":%d}}`, lateBy)
	if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		return err
	}
	late := b.broker
	if late.Port, err = strconv.Atoi(port); err != nil {
		return err
	}
	if err := b.bareHTTP(ctx, r, "late.bare", late.String()); err != nil {
		return err
	}
	if err := b.purge(); err != nil {
		return err
	}
	return b.acceptLate(ctx, r, port)
}

func (b *bench) acceptLate(ctx context.Context, r *figures.Report, port string) (err error) {
	p, err := b.producer(ctx, "RABBITMQ_PORT="+port)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop(), b.purge()) }()
	return acceptFrom(ctx, b, r, p, "late.")
}
