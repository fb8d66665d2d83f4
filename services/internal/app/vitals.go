package app

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/store"
)

const (
	vitalsInterval = 15 * time.Second // between looks at the database
	vitalsTimeout  = 10 * time.Second // of one
)

// vitals are the consumer's metrics of the database. All but up are absent until they
// are known, and keep their last values while the database is away.
type vitals struct {
	up            prometheus.Gauge
	size          *prometheus.GaugeVec // without labels
	partitionsEnd *prometheus.GaugeVec
	defaultRows   *prometheus.GaugeVec
	horizon       *prometheus.GaugeVec
}

func newVitals(reg prometheus.Registerer) *vitals {
	v := &vitals{
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
	reg.MustRegister(v.up, v.size, v.partitionsEnd, v.defaultRows, v.horizon)
	return v
}

// used takes note of how an attempt to use the database ended. One that found
// fault with its input, or met another for a moment, has reached it all the same.
func (v *vitals) used(err error) {
	switch {
	case errors.Is(err, context.Canceled): // by us
	case err == nil, store.Classify(err) == store.Data, store.Contended(err):
		v.up.Set(1)
	default:
		v.up.Set(0)
	}
}

// watchVitals keeps the metrics until ctx ends.
func (c *Consumer) watchVitals(ctx context.Context) {
	for ctx.Err() == nil {
		c.lookAtVitals(ctx)
		pause(ctx, vitalsInterval)
	}
}

func (c *Consumer) lookAtVitals(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, vitalsTimeout)
	defer cancel()
	found, err := store.ReadVitals(ctx, c.database)
	// A database that can be read and not written to is not up: while a worker has
	// something to store, its attempts tell.
	if age, _ := c.health.OldestAge(); err != nil || age == 0 {
		c.vitals.used(err)
	}
	if err != nil {
		c.log.Debug("the database's size and partitions are unknown", "error", err)
		return
	}
	c.vitals.size.WithLabelValues().Set(float64(found.Size))
	c.vitals.partitionsEnd.WithLabelValues().Set(float64(found.PartitionsEnd.Unix()))
}

// observed is a writer whose attempts report whether the database can be used.
type observed struct {
	*store.Writer
	vitals *vitals
}

func (o observed) Store(ctx context.Context, events []event.Event, redelivered bool) ([]store.Outcome, error) {
	outcomes, err := o.Writer.Store(ctx, events, redelivered)
	o.vitals.used(err)
	return outcomes, err
}
