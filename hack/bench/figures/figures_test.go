package figures

import (
	"reflect"
	"testing"
	"time"
)

func TestPercentiles(t *testing.T) {
	var d Durations
	for i := 100; i > 0; i-- {
		d = append(d, time.Duration(i)*time.Millisecond)
	}
	for percent, want := range map[float64]float64{0: 1, 50: 51, 99: 100, 100: 100} {
		if got := d.At(percent); got != want {
			t.Errorf("percentile %g: %g ms, want %g", percent, got, want)
		}
	}
	if got := Durations(nil).At(50); got != 0 {
		t.Errorf("of nothing: %g", got)
	}
}

func TestSamples(t *testing.T) {
	if got := (Samples{9, 1, 5}).Median(); got != 5 {
		t.Errorf("median %g, want 5", got)
	}
	if got := (Samples{1, 3, 5, 7}).Median(); got != 4 {
		t.Errorf("median %g, want 4", got)
	}
	if got := (Samples{8, 10, 12}).Spread(); got != 0.4 {
		t.Errorf("spread %g, want 0.4", got)
	}
}

func TestTree(t *testing.T) {
	r := NewReport()
	for _, v := range []float64{3, 1, 2} {
		r.Add("accept.single_64.rate", v)
	}
	r.Add("accept.single_64.p99.9_ms", 7)
	want := map[string]any{"rate": 2.0, "p999_ms": 7.0}
	if got := r.Tree()["accept"].(map[string]any)["single_64"]; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
