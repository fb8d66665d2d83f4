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
)

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
