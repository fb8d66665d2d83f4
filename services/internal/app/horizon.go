package app

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/trailpost/trailpost/services/internal/retry"
	"github.com/trailpost/trailpost/services/internal/store"
)

const (
	horizonInterval = time.Minute // between notes of the horizon: what followers read again after a restore, at most
	horizonTimeout  = 30 * time.Second
)

// keepHorizon notes the horizon, for those who follow the trail, until ctx ends. Nothing of the consumer's own waits for it.
func (c *Consumer) keepHorizon(ctx context.Context) {
	for ctx.Err() == nil {
		c.noteHorizon(ctx)
		_ = retry.Sleep(ctx, horizonInterval*9/10+rand.N(horizonInterval/10))
	}
}

func (c *Consumer) noteHorizon(ctx context.Context) {
	attempt, cancel := context.WithTimeout(ctx, horizonTimeout)
	defer cancel()
	moved, err := store.NoteHorizon(attempt, c.database)
	switch {
	case err == nil && !moved.IsZero():
		c.dbMetrics.horizon.WithLabelValues().Set(float64(moved.Unix()))
	case err != nil && ctx.Err() == nil:
		c.log.Warn("can't note the horizon; trying again in a minute", "error", err, "sqlstate", store.SQLState(err))
	}
}
