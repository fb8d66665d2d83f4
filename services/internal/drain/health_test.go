package drain

import (
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Lag that nobody knows is absent, never 0.
func TestOldestInHandIsAbsentUnlessKnown(t *testing.T) {
	const name = "trailpost_oldest_event_in_hand_seconds"
	health := NewHealth()
	reg := prometheus.NewRegistry()
	NewMetrics(reg, health)
	check := func(what string, known, connected bool) {
		t.Helper()
		n, err := testutil.GatherAndCount(reg, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := n == 1; got != known {
			t.Errorf("%s: %d values", what, n)
		}
		if got := health.Connected(); got != connected {
			t.Errorf("%s: connected is %t", what, got)
		}
	}
	check("no worker runs", false, false)
	first, second := health.worker(), health.worker()
	check("no worker has a session", false, false)
	first.connected()
	check("one has, and nothing in hand", true, false)
	second.connected()
	check("both have", true, true)
	first.holds(time.Now().Add(-time.Hour))
	if age, _ := health.OldestAge(); age < time.Hour || age > time.Hour+time.Minute {
		t.Errorf("the oldest event's age is %s", age)
	}
	first.disconnected(errors.New("gone"))
	second.disconnected(errors.New("gone"))
	check("no session, and something in hand", true, false)
	first.holds(time.Time{})
	check("no session any more", false, false)
	first.leave()
	second.leave()
	check("no worker runs any more", false, false)
}
