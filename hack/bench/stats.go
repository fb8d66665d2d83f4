package main

import (
	"slices"
	"time"
)

type durations []time.Duration

// at is a percentile in milliseconds, by nearest rank.
func (d durations) at(percent float64) float64 {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	i := min(int(float64(len(d))*percent/100), len(d)-1)
	return float64(d[i]) / float64(time.Millisecond)
}

// samples are a figure's values, one a round.
type samples []float64

func (s samples) median() float64 {
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

// spread is the distance from the least to the greatest, as a part of the median.
func (s samples) spread() float64 {
	if len(s) < 2 || s.median() == 0 {
		return 0
	}
	return (slices.Max(s) - slices.Min(s)) / s.median()
}
