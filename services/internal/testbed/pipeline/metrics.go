package pipeline

import (
	"strconv"
	"strings"
	"testing"
)

// Metric reads one sample of a service's /metrics; 0 when it is not there.
func Metric(t *testing.T, s *Service, sample string) float64 {
	t.Helper()
	_, body := Get(t, s.URL+"/metrics")
	for line := range strings.Lines(body) {
		if rest, found := strings.CutPrefix(line, sample+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// Exported reports whether a service's /metrics has a sample, whatever its value.
func Exported(t *testing.T, s *Service, sample string) bool {
	t.Helper()
	_, body := Get(t, s.URL+"/metrics")
	return strings.Contains(body, "\n"+sample+" ")
}
