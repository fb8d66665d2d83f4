package main

import (
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestPercentiles(t *testing.T) {
	var d durations
	for i := 100; i > 0; i-- {
		d = append(d, time.Duration(i)*time.Millisecond)
	}
	for percent, want := range map[float64]float64{0: 1, 50: 51, 99: 100, 100: 100} {
		if got := d.at(percent); got != want {
			t.Errorf("percentile %g: %g ms, want %g", percent, got, want)
		}
	}
	if got := durations(nil).at(50); got != 0 {
		t.Errorf("of nothing: %g", got)
	}
}

func TestSamples(t *testing.T) {
	if got := (samples{9, 1, 5}).median(); got != 5 {
		t.Errorf("median %g, want 5", got)
	}
	if got := (samples{1, 3, 5, 7}).median(); got != 4 {
		t.Errorf("median %g, want 4", got)
	}
	if got := (samples{8, 10, 12}).spread(); got != 0.4 {
		t.Errorf("spread %g, want 0.4", got)
	}
	for n, want := range []float64{1, 5, 2, 8} {
		if got := (samples{0, 2, 5, 5, 2, 2, 7, 9}).quarter(n + 1); got != want {
			t.Errorf("quarter %d: %g, want %g", n+1, got, want)
		}
	}
}

func TestIDs(t *testing.T) {
	g, before := newIDs(), uuid.UUID{}
	for range 1000 {
		id := g.next()
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 {
			t.Fatalf("%s is version %d of %s", id, id.Version(), id.Variant())
		}
		if id.String() <= before.String() {
			t.Fatalf("%s comes after %s", id, before)
		}
		before = id
	}
	sec, nsec := before.Time().UnixTime()
	if age := time.Since(time.Unix(sec, nsec)); age < 50*time.Second || age > 2*time.Minute {
		t.Errorf("%s is %s old", before, age)
	}
}

func TestTree(t *testing.T) {
	r := newReport()
	for _, v := range []float64{3, 1, 2} {
		r.add("accept.single_64.rate", v)
	}
	r.add("accept.single_64.p99.9_ms", 7)
	want := map[string]any{"rate": 2.0, "p999_ms": 7.0}
	if got := r.tree()["accept"].(map[string]any)["single_64"]; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// What /proc tells of this very process.
func TestProcesses(t *testing.T) {
	all, err := processes()
	if err != nil {
		t.Fatal(err)
	}
	if p, there := all[os.Getpid()]; !there || p.parent != os.Getppid() {
		t.Errorf("found %+v, %t, want the parent %d", p, there, os.Getppid())
	}
	if peak, err := peakMemory(os.Getpid()); err != nil || peak < 1 || peak > 4096 {
		t.Errorf("%g MiB, %v", peak, err)
	}
}
