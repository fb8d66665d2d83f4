package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/cli"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/config/values"
)

// wait is for an init container: the consumer itself refuses an old schema.
func wait() *cobra.Command {
	var timeout time.Duration
	c := cli.Command(&cobra.Command{
		Use:   "wait",
		Short: "Waits until the database answers and its schema is new enough for this consumer.",
		Args:  cobra.NoArgs,
	}, config.ForConsumer)
	c.Flags().DurationVar(&timeout, "timeout", 0, "longest time to wait; 0 waits without limit")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := cli.Load(config.ForConsumer)
		if err != nil {
			return err
		}
		ctx, cancel := within(cmd.Context(), timeout)
		defer cancel()
		return app.WaitForSchema(ctx, cfg, cli.Logger(cfg, "wait"))
	}
	return c
}

func selfTest() *cobra.Command {
	var producer, keyFile string
	var timeout time.Duration
	c := cli.Command(&cobra.Command{
		Use:   "selftest",
		Short: "Posts an event to the producer and waits until it is a row of the trail.",
		Args:  cobra.NoArgs,
	}, config.ForConsumer)
	c.Flags().StringVar(&producer, "url", "http://localhost:8001", "the producer")
	c.Flags().StringVar(&keyFile, "key-file", "", "file of the API key, for a producer that asks for one")
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "longest time that all of it may take")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := cli.Load(config.ForConsumer)
		if err != nil {
			return err
		}
		var key string
		if keyFile != "" {
			if key, err = values.ReadSecret(keyFile); err != nil {
				return fmt.Errorf("read the API key: --key-file %w", err)
			}
		}
		ctx, cancel := within(cmd.Context(), timeout)
		defer cancel()
		start := time.Now()
		id, err := app.SelfTest(ctx, cfg, strings.TrimSuffix(producer, "/"), strings.TrimSpace(key))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "event %s was accepted and is a row, after %s\n", id, time.Since(start).Round(time.Millisecond))
		return err
	}
	return c
}

func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
