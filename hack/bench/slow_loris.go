package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/load"
	"github.com/trailpost/trailpost/hack/bench/loris"
	"github.com/trailpost/trailpost/hack/bench/service"
	"github.com/trailpost/trailpost/hack/bench/workload"
)

// slowLoris measures what single requests, at a third of their most, notice of 2,000 connections that were opened at once
// and dribble: without them, beside them, and without them again, each as long.
func slowLoris(ctx context.Context, b *bench, r *figures.Report) (err error) {
	p, err := b.producer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop(), b.purge()) }()
	single := load.Request("/log", workload.MediaArray, workload.Request(1, "", workload.Payload))
	most, _, err := load.ClosedLoop(ctx, p.Addr, 64, b.duration, single)
	if err != nil {
		return err
	}
	others := func() (figures.Durations, error) {
		return load.OpenLoop(ctx, p.Addr, 64, most/3, 2*b.duration, single, nil)
	}
	before, err := others()
	if err != nil {
		return err
	}
	beside, err := b.besideLoris(ctx, p.Addr, others)
	if err != nil {
		return err
	}
	after, err := others()
	if err != nil {
		return err
	}
	r.AddLatencies("slow_loris.without", append(before, after...))
	r.AddLatencies("slow_loris.beside", beside)
	return nil
}

// besideLoris measures while the slow connections are open.
func (b *bench) besideLoris(ctx context.Context, addr string, measure func() (figures.Durations, error)) (latencies figures.Durations, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := service.FreePort()
	if err != nil {
		return nil, err
	}
	client, err := b.run(ctx, service.Program{Binary: self, Port: port, Ready: "/readyz"}, []string{loris.Variable + "=127.0.0.1:" + port + " " + addr})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, client.Kill()) }()
	if latencies, err = measure(); err != nil {
		return nil, err
	}
	open, err := client.Metric("open")
	if err == nil && open < loris.Most {
		err = fmt.Errorf("%.0f slow connections were open, want %d", open, loris.Most)
	}
	return latencies, err
}
