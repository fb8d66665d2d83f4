package app

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/retry"
	"github.com/trailpost/trailpost/services/internal/store"
)

const (
	databaseStatsInterval = 15 * time.Second // between two readings
	databaseStatsTimeout  = 10 * time.Second // of one reading
)

// databaseMetrics are the consumer's metrics of the database. All but up are absent until they are
// known, and keep their last values while the database is away.
type databaseMetrics struct {
	up            prometheus.Gauge
	size          *prometheus.GaugeVec // without labels
	partitionsEnd *prometheus.GaugeVec
	defaultRows   *prometheus.GaugeVec
	horizon       *prometheus.GaugeVec
}

func newDatabaseMetrics(reg prometheus.Registerer) *databaseMetrics {
	m := &databaseMetrics{
		up: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "trailpost_database_up",
			Help: "Whether this consumer's last attempt to use the database succeeded: 1 or 0. It looks every 15 seconds when there is nothing to store.",
		}),
		size: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trailpost_database_size_bytes",
			Help: "Size of the database with all its tables and indexes, in bytes; the same from every replica.",
		}, nil),
		partitionsEnd: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trailpost_partitions_end_timestamp_seconds",
			Help: "Unix time up to which the trail has monthly partitions without a gap, in seconds; events of later months go into the default partition.",
		}, nil),
		defaultRows: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trailpost_default_partition_rows",
			Help: "Rows in the default partition of the trail, which should be empty: their month's partition was missing when they came.",
		}, nil),
		horizon: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trailpost_horizon_noted_timestamp_seconds",
			Help: "Unix time at which the trail's horizon last moved, as noted in the database each minute, in seconds; when it stands still, a transaction has been open since then, followers see nothing newer, and read again from there after a restore.",
		}, nil),
	}
	reg.MustRegister(m.up, m.size, m.partitionsEnd, m.defaultRows, m.horizon)
	return m
}

// used notes how an attempt to use the database ended. One that ended with a rejected event, or in
// contention with another transaction, has reached the database all the same.
func (m *databaseMetrics) used(err error) {
	switch {
	case errors.Is(err, context.Canceled): // by us
	case err == nil, store.Classify(err) == store.Rejected, store.Contended(err):
		m.up.Set(1)
	default:
		m.up.Set(0)
	}
}

// watchDatabase keeps the metrics up to date until ctx ends.
func (c *Consumer) watchDatabase(ctx context.Context) {
	for ctx.Err() == nil {
		c.readDatabaseStats(ctx)
		_ = retry.Sleep(ctx, databaseStatsInterval)
	}
}

func (c *Consumer) readDatabaseStats(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, databaseStatsTimeout)
	defer cancel()
	stats, err := store.ReadDatabaseStats(ctx, c.database)
	// A database that can only be read is not up: while a worker has something to store, its
	// attempts decide.
	if age, _ := c.health.OldestAge(); err != nil || age == 0 {
		c.dbMetrics.used(err)
	}
	if err != nil {
		c.log.Debug("the database's size and partitions are unknown", "error", err)
		return
	}
	c.dbMetrics.size.WithLabelValues().Set(float64(stats.Size))
	c.dbMetrics.partitionsEnd.WithLabelValues().Set(float64(stats.PartitionsEnd.Unix()))
}

// observedWriter is a writer whose attempts report whether the database can be used.
type observedWriter struct {
	*store.Writer
	metrics *databaseMetrics
}

func (o observedWriter) Store(ctx context.Context, events []event.Event, redelivered bool) ([]store.Outcome, error) {
	outcomes, err := o.Writer.Store(ctx, events, redelivered)
	o.metrics.used(err)
	return outcomes, err
}
