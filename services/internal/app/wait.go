package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/retry"
	"github.com/trailpost/trailpost/services/internal/store"
)

// WaitForSchema waits until the consumer could start on the database: it
// answers, its schema is new enough, and the role is one that may be used. Its
// error is ctx's, or the one that waiting can't mend.
func WaitForSchema(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	const interval = time.Second
	database := Database(cfg)
	var reason retry.Reason
	for {
		err := store.Check(ctx, database, cfg.Consumer.AllowOwnerRole)
		if err == nil || errors.Is(err, store.ErrOwnerRole) || unusable(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if reason.Changed(err) {
			log.Info("waiting for the database and its schema", "reason", err)
		}
		_ = retry.Sleep(ctx, interval)
	}
}
