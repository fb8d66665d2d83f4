package main

import (
	"testing"

	"github.com/trailpost/trailpost/hack/bench/figures"
)

func TestQuarter(t *testing.T) {
	for n, want := range []float64{1, 5, 2, 8} {
		if got := quarter(figures.Samples{0, 2, 5, 5, 2, 2, 7, 9}, n+1); got != want {
			t.Errorf("quarter %d: %g, want %g", n+1, got, want)
		}
	}
}
