package drain

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/store"
)

// The operations that are retried: values of a label, and words of the log.
const (
	opStore      = "store"
	opDeadLetter = "dead-letter"
)

// Metrics count what the consumer's workers do.
type Metrics struct {
	stored       prometheus.Counter
	duplicates   prometheus.Counter
	notCompared  prometheus.Counter
	deadLettered *prometheus.CounterVec
	replayed     prometheus.Counter
	batchEvents  prometheus.Histogram
	storeSeconds prometheus.Histogram
	retries      *prometheus.CounterVec
	lagSeconds   prometheus.Histogram
}

// NewMetrics registers the metrics with reg. health knows the events that workers hold.
func NewMetrics(reg prometheus.Registerer, health *Health) *Metrics {
	m := &Metrics{
		stored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trailpost_events_stored_total",
			Help: "Events committed to the trail as new rows.",
		}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trailpost_events_duplicate_total",
			Help: "Events that the trail held already, equal in all that is compared: redeliveries and clients' retries.",
		}),
		notCompared: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trailpost_events_not_compared_total",
			Help: "Those of trailpost_events_duplicate_total that were known by their event_key alone, since the month of their event is detached or retired.",
		}),
		deadLettered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trailpost_events_dead_lettered_total",
			Help: "Dead letters that the consumer published, by reason. Those that the broker itself moved are not counted here.",
		}, []string{"reason"}),
		replayed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trailpost_dead_letters_replayed_total",
			Help: "Messages settled that came from the dead-letter queue, by a replay. What is missing there beside them has vanished.",
		}),
		batchEvents: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "trailpost_batch_events",
			Help:    "Events of a committed batch.",
			Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000},
		}),
		storeSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "trailpost_batch_store_seconds",
			Help:    "Time to store a batch, commit included, in seconds.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trailpost_retries_total",
			Help: "Attempts that failed and are tried again, by operation (store, dead-letter) and class of the fault (transient, trouble).",
		}, []string{"operation", "class"}),
		lagSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "trailpost_event_lag_seconds",
			Help:    "Time from an event's acceptance by the producer to its commit, in seconds, by both clocks.",
			Buckets: []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400},
		}),
	}
	for _, reason := range []string{
		event.ReasonInvalidJSON, event.ReasonInvalidEvent, event.ReasonInvalidID, deadletter.ReasonIDReused, deadletter.ReasonRejected,
		deadletter.ReasonGroupTooLarge, deadletter.ReasonGroupCount, deadletter.ReasonEmptyGroup, deadletter.ReasonKeyWithoutEvent,
	} {
		m.deadLettered.WithLabelValues(reason)
	}
	for _, class := range []store.Class{store.Transient, store.Trouble} {
		m.retries.WithLabelValues(opStore, class.String())
	}
	m.retries.WithLabelValues(opDeadLetter, store.Transient.String())
	reg.MustRegister(m.stored, m.duplicates, m.notCompared, m.deadLettered, m.replayed, m.batchEvents, m.storeSeconds, m.retries, m.lagSeconds,
		oldestInHand{health})
	return m
}

// oldestInHand is a gauge that is absent while its value is not known: a consumer without a session
// must not say that nothing waits.
type oldestInHand struct{ health *Health }

var oldestInHandDesc = prometheus.NewDesc("trailpost_oldest_event_in_hand_seconds",
	"Age of the oldest event that a worker holds and has not settled, in seconds; 0 when no worker holds any; absent while none has a session with RabbitMQ, so that nobody knows.",
	nil, nil)

func (oldestInHand) Describe(descs chan<- *prometheus.Desc) { descs <- oldestInHandDesc }

func (o oldestInHand) Collect(metrics chan<- prometheus.Metric) {
	if age, known := o.health.OldestAge(); known {
		metrics <- prometheus.MustNewConstMetric(oldestInHandDesc, prometheus.GaugeValue, age.Seconds())
	}
}
