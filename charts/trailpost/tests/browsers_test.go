package chart_test

import "testing"

// What is before a producer, and what browsers may do, are values of the chart's.
func TestOriginsAndIdleTimeout(t *testing.T) {
	settings := settingsOf(t, parse(t, mustTemplate(t)), "producer")
	if origins, there := settings["PRODUCER_CORS_ORIGINS"]; there || settings["PRODUCER_IDLE_TIMEOUT"] != "650s" {
		t.Errorf("by default: origins %q, idle time-out %q", origins, settings["PRODUCER_IDLE_TIMEOUT"])
	}
	settings = settingsOf(t, parse(t, mustTemplate(t, "--set", "producer.corsOrigins={https://a.example,http://localhost:3000},producer.idleTimeout=65s")), "producer")
	if origins := settings["PRODUCER_CORS_ORIGINS"]; origins != "https://a.example,http://localhost:3000" || settings["PRODUCER_IDLE_TIMEOUT"] != "65s" {
		t.Errorf("origins %q, idle time-out %q", origins, settings["PRODUCER_IDLE_TIMEOUT"])
	}
}
