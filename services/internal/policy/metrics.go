package policy

import "github.com/prometheus/client_golang/prometheus"

var (
	findingDesc = prometheus.NewDesc("trailpost_policy_finding",
		"Whether a setting of a queue does harm, by queue, key of the policy and effect (drops, dead_letters or refuses): 1 or 0. Effects other than drops have a sample only where they are found. 0 says nothing while trailpost_policy_age_seconds is high.",
		[]string{"queue", "key", "effect"}, nil)
	ageDesc = prometheus.NewDesc("trailpost_policy_age_seconds",
		"Age of what is known of the broker's policies, in seconds: of the management API's last answer, or of the process while there was none. Absent without RABBITMQ_MANAGEMENT_URL.",
		nil, nil)
)

// droppingKeys are the keys that can drop messages.
var droppingKeys = []string{"max-length", "max-length-bytes", "message-ttl", "expires", "delivery-limit"}

// collector exports what a watcher knows: a sample for each queue and each of a handful of keys.
type collector struct{ *Watcher }

// Register registers the watcher's metrics; a nil watcher has none.
func (w *Watcher) Register(reg prometheus.Registerer) {
	if w != nil {
		reg.MustRegister(collector{w})
	}
}

func (c collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- findingDesc
	descs <- ageDesc
}

func (c collector) Collect(metrics chan<- prometheus.Metric) {
	type sample struct{ queue, key string }
	drops := map[sample]bool{}
	for _, f := range c.Findings() {
		drops[sample{f.Queue, f.Key}] = f.Effect == Drops
		metrics <- prometheus.MustNewConstMetric(findingDesc, prometheus.GaugeValue, 1, f.Queue, f.Key, string(f.Effect))
	}
	for _, queue := range []string{c.cfg.Queue, c.cfg.Dead} {
		for _, key := range droppingKeys {
			if !drops[sample{queue, key}] {
				metrics <- prometheus.MustNewConstMetric(findingDesc, prometheus.GaugeValue, 0, queue, key, string(Drops))
			}
		}
	}
	age, _ := c.Age()
	metrics <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, age.Seconds())
}
