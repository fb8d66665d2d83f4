package broker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Side is what a process does with the queue. Only the metrics of that side are exported.
type Side int

const (
	Publishing Side = iota // the producer
	Consuming              // the consumer
)

// Metrics count what passes between Trailpost and RabbitMQ.
type Metrics struct {
	published      prometheus.Counter
	confirmed      prometheus.Counter
	failed         *prometheus.CounterVec
	confirmSeconds prometheus.Histogram
	inFlight       prometheus.Gauge
	messageEvents  *prometheus.HistogramVec
	queueMessages  *prometheus.GaugeVec
	deadMessages   *prometheus.GaugeVec
	queueConsumers *prometheus.GaugeVec
	sessions       prometheus.Counter
}

// NewMetrics registers the metrics of a side with reg.
func NewMetrics(reg prometheus.Registerer, side Side) *Metrics {
	m := &Metrics{
		published: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trailpost_events_published_total",
			Help: "Events written to RabbitMQ, whatever became of them: confirmed, refused, or of unknown outcome.",
		}),
		confirmed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trailpost_events_confirmed_total",
			Help: "Events that RabbitMQ confirmed.",
		}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trailpost_events_unconfirmed_total",
			Help: "Events that were written to RabbitMQ and not confirmed, by cause: returned, nacked, blocked, connection_lost or too_large. All but returned and too_large may still be on the queue.",
		}, []string{"cause"}),
		confirmSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "trailpost_publish_confirm_seconds",
			Help:    "Time from publishing a message to its confirm, in seconds.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "trailpost_publish_in_flight_messages",
			Help: "Messages that wait for RabbitMQ's confirm.",
		}),
		messageEvents: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "trailpost_message_events",
			Help:    "Events in a message, by direction: published or consumed.",
			Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128, 1024, 10000},
		}, []string{"direction"}),
		queueMessages: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trailpost_queue_messages",
			Help: "Messages of the queue by state: ready (the broker's count, the same from every replica: take the max) and unacked (in this replica's hands: take the sum). A message holds one or more events.",
		}, []string{"queue", "state"}),
		deadMessages: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trailpost_dead_letter_messages",
			Help: "Messages that wait in the dead-letter queue, by the broker's count.",
		}, []string{"queue"}),
		queueConsumers: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "trailpost_queue_consumers",
			Help: "Consumers of the queue, by the broker's count.",
		}, []string{"queue"}),
		sessions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trailpost_broker_sessions_total",
			Help: "Sessions opened with RabbitMQ: more than one a worker means that connections were lost.",
		}),
	}
	for _, cause := range []string{"returned", "nacked", "blocked", "connection_lost", "too_large"} {
		m.failed.WithLabelValues(cause)
	}
	reg.MustRegister(m.messageEvents, m.queueMessages, m.deadMessages, m.queueConsumers)
	switch side {
	case Publishing:
		m.messageEvents.WithLabelValues("published")
		reg.MustRegister(m.published, m.confirmed, m.failed, m.confirmSeconds, m.inFlight)
	case Consuming:
		m.messageEvents.WithLabelValues("consumed")
		reg.MustRegister(m.sessions)
	}
	return m
}

// RegisterUp registers the gauge that shows what up says when Prometheus asks.
func RegisterUp(reg prometheus.Registerer, up func() bool) {
	RegisterFlag(reg, prometheus.GaugeOpts{
		Name: "trailpost_broker_up",
		Help: "Whether this process has its sessions with RabbitMQ, a consumer's those of all its workers: 1 or 0.",
	}, up)
}

// RegisterFlag registers a gauge that is 1 while holds returns true, else 0.
func RegisterFlag(reg prometheus.Registerer, opts prometheus.GaugeOpts, holds func() bool) {
	reg.MustRegister(prometheus.NewGaugeFunc(opts, func() float64 {
		if holds() {
			return 1
		}
		return 0
	}))
}

// Sent counts the events of a message that is written.
func (m *Metrics) Sent(events int) {
	m.published.Add(float64(events))
	m.messageEvents.WithLabelValues("published").Observe(float64(events))
}

// InFlight sets how many messages wait for their confirms.
func (m *Metrics) InFlight(messages int) { m.inFlight.Set(float64(messages)) }

// Answered takes note of how long a message has waited for its confirm.
func (m *Metrics) Answered(waited time.Duration) { m.confirmSeconds.Observe(waited.Seconds()) }

// Confirmed counts the events of a message that the broker confirmed.
func (m *Metrics) Confirmed(events int) { m.confirmed.Add(float64(events)) }

// Unconfirmed counts the events of a message that was written and not confirmed.
func (m *Metrics) Unconfirmed(cause string, events int) {
	m.failed.WithLabelValues(cause).Add(float64(events))
}

// SessionOpened counts a session.
func (m *Metrics) SessionOpened() { m.sessions.Inc() }

// Consumed takes note of how many events a message had.
func (m *Metrics) Consumed(events int) {
	m.messageEvents.WithLabelValues("consumed").Observe(float64(events))
}

// Unacked adds n to the messages that this process has not acked.
func (m *Metrics) Unacked(queue string, n int) {
	m.queueMessages.WithLabelValues(queue, "unacked").Add(float64(n))
}

// Depth sets what the broker says of the queue.
func (m *Metrics) Depth(queue string, ready, consumers, dead int) {
	m.queueMessages.WithLabelValues(queue, "ready").Set(float64(ready))
	m.queueConsumers.WithLabelValues(queue).Set(float64(consumers))
	m.deadMessages.WithLabelValues(DeadQueue(queue)).Set(float64(dead))
}
