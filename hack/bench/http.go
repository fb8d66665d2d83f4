package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/trailpost/trailpost/hack/bench/bare"
	"github.com/trailpost/trailpost/hack/bench/figures"
	"github.com/trailpost/trailpost/hack/bench/service"
)

// httpLimit is a bare HTTP server with the same requests and answers.
func httpLimit(ctx context.Context, b *bench, r *figures.Report) error {
	return b.bareHTTP(ctx, r, "limits.http", "")
}

// groupedLimit is the same one with a bare group commit behind it: what single events can reach at most, through
// net/http and one channel, if nothing is parsed, checked, identified, limited or measured.
func groupedLimit(ctx context.Context, b *bench, r *figures.Report) error {
	return errors.Join(b.bareHTTP(ctx, r, "limits.grouped", b.brokerURL), b.purge())
}

// bareHTTP measures the bare server; brokerURL may be "".
func (b *bench) bareHTTP(ctx context.Context, r *figures.Report, prefix, brokerURL string) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	port, err := service.FreePort()
	if err != nil {
		return err
	}
	s, err := b.run(ctx, service.Program{Binary: self, Port: port, Ready: "/readyz"}, []string{strings.TrimSpace(bare.Variable + "=127.0.0.1:" + port + " " + brokerURL)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Kill()) }()
	for _, connections := range []int{64, 256} {
		if err := b.postSingles(ctx, r, s, fmt.Sprintf("%s_%d", prefix, connections), connections); err != nil {
			return err
		}
	}
	return nil
}
