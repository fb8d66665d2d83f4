package app

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/retry"
	"github.com/trailpost/trailpost/services/internal/store"
)

const (
	partitionInterval = time.Hour   // between looks at the partitions
	partitionRetry    = time.Minute // after one that failed
	firstRetry        = 100 * time.Millisecond
	analyzeLimit      = time.Minute // of looking at the trail as a whole: followers may have to wait for its end
)

// prepare waits for the database and checks that the consumer may run on it.
func (c *Consumer) prepare(ctx context.Context) error {
	wait := retry.Backoff{First: firstRetry, Most: max(c.cfg.Consumer.RetryDelay, firstRetry)}
	var reason retry.Reason
	for {
		err := store.Check(ctx, c.database, c.cfg.Consumer.AllowOwnerRole)
		c.dbMetrics.used(err)
		switch {
		case err == nil:
			c.warnOfOwner(ctx)
			return nil
		case errors.Is(err, store.ErrSchemaOld), errors.Is(err, store.ErrRestored), unusable(err):
			return err
		case errors.Is(err, store.ErrOwnerRole):
			return fmt.Errorf("%w; use a role that `migrate roles` made, or set ALLOW_OWNER_ROLE=true to run all the same", err)
		case ctx.Err() != nil:
			return nil
		}
		c.blocked(err)
		if reason.Changed(err) {
			c.log.Error("the database can't be used yet; trying again until it can", "error", err, "sqlstate", store.SQLState(err))
		}
		_ = retry.Sleep(ctx, wait.Next())
	}
}

// warnOfOwner says what ALLOW_OWNER_ROLE lets through.
func (c *Consumer) warnOfOwner(ctx context.Context) {
	if !c.cfg.Consumer.AllowOwnerRole {
		return
	}
	if err := store.Check(ctx, c.database, false); errors.Is(err, store.ErrOwnerRole) {
		c.log.Warn("ALLOW_OWNER_ROLE is set: this consumer could change the trail, or take away from it", "reason", err)
	}
}

// unusable reports whether the settings lead to a database that can't be used, or to it by a way that can't: no waiting mends that.
func unusable(err error) bool {
	return errors.Is(err, durable.ErrEncoding) || errors.Is(err, durable.ErrPooled)
}

// keepPartitions looks after the partitions until ctx ends.
func (c *Consumer) keepPartitions(ctx context.Context, next time.Duration) {
	for {
		c.analyzeTrail(ctx)
		if retry.Sleep(ctx, next/2+rand.N(next/2)) != nil {
			return
		}
		next = c.lookAfterPartitions(ctx)
	}
}

// analyzeTrail has PostgreSQL know the trail as a whole, each day and after a new month. Nothing of the consumer's own needs it: the plans
// of people who read it do.
func (c *Consumer) analyzeTrail(ctx context.Context) {
	done, err := store.Analyze(ctx, c.database, c.analyze, analyzeLimit)
	switch {
	case err == nil:
		c.analyze = c.analyze && !done
	case ctx.Err() == nil:
		c.log.Warn("can't analyze the trail: queries of many months may be planned badly until the owner runs ANALYZE log_events", "error", err, "sqlstate", store.SQLState(err))
	}
}

// lookAfterPartitions makes partitions ahead of time and watches the default
// one. It returns when to look again.
func (c *Consumer) lookAfterPartitions(ctx context.Context) time.Duration {
	made, err := store.EnsurePartitions(ctx, c.database)
	c.analyze = c.analyze || made > 0
	var rows int64
	if err == nil {
		rows, err = store.DefaultRows(ctx, c.database)
	}
	c.dbMetrics.used(err)
	if err != nil {
		if ctx.Err() == nil {
			c.log.Warn("can't look after the partitions; trying again", "error", err, "sqlstate", store.SQLState(err))
		}
		return partitionRetry
	}
	c.dbMetrics.defaultRows.WithLabelValues().Set(float64(rows))
	if rows > 0 {
		c.log.Warn("the default partition is not empty", "rows", rows)
	}
	return partitionInterval
}
