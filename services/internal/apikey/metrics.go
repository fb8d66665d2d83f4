package apikey

import "github.com/prometheus/client_golang/prometheus"

// Metrics are those of a [File].
type Metrics struct {
	keys    prometheus.Gauge
	failing prometheus.Gauge
}

// NewMetrics makes and registers Metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		keys: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "trailpost_api_keys",
			Help: "API keys that clients may use now.",
		}),
		failing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "trailpost_api_keys_read_failing",
			Help: "1 while the file of API keys can't be read or is wrong, so that the keys from before hold, else 0.",
		}),
	}
	reg.MustRegister(m.keys, m.failing)
	return m
}
