package figures

import (
	"slices"
	"time"
)

// Durations are latencies.
type Durations []time.Duration

// At returns a percentile in milliseconds, by nearest rank.
func (d Durations) At(percent float64) float64 {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	i := min(int(float64(len(d))*percent/100), len(d)-1)
	return float64(d[i]) / float64(time.Millisecond)
}

// Samples are a figure's values, one a round.
type Samples []float64

// Median returns the middle value, or the mean of the two; 0 of none.
func (s Samples) Median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	mid := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[mid-1] + sorted[mid]) / 2
	}
	return sorted[mid]
}

// Spread returns the distance from the least to the greatest, as a part of the median.
func (s Samples) Spread() float64 {
	if len(s) < 2 || s.Median() == 0 {
		return 0
	}
	return (slices.Max(s) - slices.Min(s)) / s.Median()
}
