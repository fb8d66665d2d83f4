package admission

import (
	"fmt"
	"testing"
	"time"
)

// A bucket in its parts: the burst, the rate, and what a batch owes.
func TestRates(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	r := NewRates(10, 5, func() time.Time { return now })
	billing, shop := Client{KeyName: "billing", Address: "192.0.2.1"}, Client{KeyName: "shop", Address: "192.0.2.1"}
	admit := func(c Client, want time.Duration) {
		t.Helper()
		wait, ok := r.Admit(c)
		if ok != (want == 0) || wait.Round(time.Microsecond) != want {
			t.Fatalf("at %s: wait %s, %v; want %s", now.Format("05.000"), wait, ok, want)
		}
	}
	for range 5 {
		admit(billing, 0)
	}
	admit(billing, 100*time.Millisecond)
	admit(shop, 0)
	admit(Client{Address: "192.0.2.1"}, 0) // keys and addresses are apart
	now = now.Add(100 * time.Millisecond)
	admit(billing, 0)
	admit(billing, 100*time.Millisecond)

	now = now.Add(time.Hour)
	admit(billing, 0)
	r.Charge(billing, 999) // a batch of 1,000: 4 are there, 995 are owed, and one more for the next
	admit(billing, 99600*time.Millisecond)
	now = now.Add(99*time.Second + 500*time.Millisecond)
	admit(billing, 100*time.Millisecond)
	now = now.Add(100 * time.Millisecond)
	admit(billing, 0)

	if none := NewRates(0, 5, nil); none != nil {
		t.Error("a limit of 0 limits")
	}
}

// Strangers can't fill the memory with addresses.
func TestRatesAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	r := NewRates(1, 1, func() time.Time { return now })
	busy := Client{Address: "busy"}
	r.Admit(busy)
	for i := range 3 * maxBuckets {
		r.Admit(Client{Address: fmt.Sprint(i)})
		if _, ok := r.Admit(busy); ok {
			t.Fatal("who goes on sending was forgotten")
		}
	}
	if n := r.addresses.byName.Len(); n != maxBuckets {
		t.Errorf("%d buckets, want %d", n, maxBuckets)
	}
}
