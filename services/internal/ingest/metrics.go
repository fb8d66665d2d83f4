package ingest

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trailpost/trailpost/services/internal/ingest/admission"
	"github.com/trailpost/trailpost/services/internal/linger"
)

// Metrics count requests and events. No client can choose a label's value.
type Metrics struct {
	accepted       prometheus.Counter
	rejected       *prometheus.CounterVec
	duration       *prometheus.HistogramVec
	unknownTypes   prometheus.Counter
	ignoredMembers prometheus.Counter
	unreadRequests *prometheus.CounterVec
	budgetUsed     *budgetGauge
	budget         prometheus.Gauge
}

// NewMetrics makes and registers Metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trailpost_events_accepted_total",
			Help: "Events that were answered 202: the broker confirmed them.",
		}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trailpost_events_rejected_total",
			Help: "Events that were not answered 202, by reason. Of an invalid batch the invalid events count; a batch whose events were not read counts as one.",
		}, []string{"reason"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "trailpost_http_request_duration_seconds",
			Help:    "Time from a request's headers to the end of its answer, by route and class of status code.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
		}, []string{"route", "code"}),
		unknownTypes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trailpost_events_unknown_type_total",
			Help: "Accepted events whose event_type is not documented; the log names some.",
		}),
		ignoredMembers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "trailpost_ignored_members_total",
			Help: "Names of unknown members in accepted requests, which were ignored; the log and the answer name them.",
		}),
		unreadRequests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trailpost_unread_requests_total",
			Help: "Connections that were closed before all of a request was read, by what became of the rest. read: it was discarded to its end; cut: the client still sent after 32 MiB or 5 s; refused: too many others did. After cut and refused, clients may not have seen their answer.",
		}, []string{"rest"}),
		budgetUsed: newBudgetGauge(),
		budget: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "trailpost_memory_budget_bytes",
			Help: "Most bytes of request bodies that may be in memory; beyond it requests are answered 503.",
		}),
	}
	for _, k := range []kind{
		kindUnauthorized, kindRateLimited, kindMalformed, kindBrokenBody, kindSlowBody, kindTooLarge, kindMediaType, kindInvalid,
		kindClientGone, kindInternal, kindBusy, kindUnavailable, kindNotConfirmed,
	} {
		m.rejected.WithLabelValues(k.name) // a series that starts at 0 can be alerted on
	}
	for _, o := range []linger.Outcome{linger.Read, linger.Cut, linger.Refused} {
		m.unreadRequests.WithLabelValues(string(o))
	}
	for _, route := range []string{routeLog, routeBatch} {
		for _, class := range []string{"2xx", "5xx"} { // what the objective of acceptance compares
			m.duration.WithLabelValues(route, class)
		}
	}
	reg.MustRegister(m.accepted, m.rejected, m.duration, m.unknownTypes, m.ignoredMembers, m.unreadRequests, m.budgetUsed, m.budget)
	return m
}

// unread counts what became of a connection that was closed early.
func (m *Metrics) unread(o linger.Outcome) { m.unreadRequests.WithLabelValues(string(o)).Inc() }

// setBudget shows the budget of the handler that has it.
func (m *Metrics) setBudget(b *admission.Budget) {
	m.budgetUsed.of.Store(b)
	m.budget.Set(float64(b.Limit()))
}

// budgetGauge shows how much of a budget is in use; 0 before there is one.
type budgetGauge struct {
	prometheus.GaugeFunc
	of atomic.Pointer[admission.Budget]
}

func newBudgetGauge() *budgetGauge {
	g := new(budgetGauge)
	g.GaugeFunc = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "trailpost_memory_budget_used_bytes",
		Help: "Bytes of request bodies that are in memory now.",
	}, func() float64 {
		if b := g.of.Load(); b != nil {
			return float64(b.Used())
		}
		return 0
	})
	return g
}
