package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/app/producer"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/telemetry"
)

// service is the producer or the consumer.
type service interface {
	Run(ctx context.Context) error
	Ready() error
}

// runServices runs the producer and the consumer until ctx ends or one of them
// fails, and returns when both have ended. It calls ready once both are.
func runServices(ctx context.Context, cfg *config.Config, logs io.Writer, ready func() error) error {
	logger := func(service string) *slog.Logger {
		return telemetry.NewLogger(logs, slog.Level(cfg.Service.LogLevel), cfg.Service.Environment, service)
	}
	cfg.LogWarnings(logger("local"))
	p, err := producer.New(cfg, logger("producer"))
	if err != nil {
		return err
	}
	c, err := app.NewConsumer(cfg, logger("consumer"))
	if err != nil {
		return errors.Join(err, p.Close())
	}
	return runAll(ctx, ready, p, c)
}

// runAll runs services; the first that ends takes the others with it.
func runAll(ctx context.Context, ready func() error, services ...service) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(services))
	for _, s := range services {
		go func() {
			ended <- s.Run(ctx)
			cancel()
		}()
	}
	var errs []error
	if awaitReady(ctx, services) {
		if err := ready(); err != nil {
			errs = append(errs, err)
			cancel()
		}
	}
	for range services {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// awaitReady returns when every service is ready, or false when ctx has ended
// before. They get ready by themselves, so there is nothing to do but to look.
func awaitReady(ctx context.Context, services []service) bool {
	for _, s := range services {
		for s.Ready() != nil {
			select {
			case <-ctx.Done():
				return false
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return true
}
