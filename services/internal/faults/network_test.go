package faults

import (
	"math/rand/v2"
)

// networkFaults are what can happen to each of the four connections.
func networkFaults() (faults []fault) {
	for _, h := range []struct {
		name  string
		of    func(*world) *proxy
		felt  func(*world, mark) bool // when the connection is gone
		quiet func(*world, mark) bool // when it is there and nothing comes
	}{
		{"request", func(w *world) *proxy { return w.request }, unanswered, unanswered},
		{"publish", func(w *world) *proxy { return w.publish }, refused, refused},
		// Heartbeats tell a consumer of a silent broker, after half a minute.
		{"consume", func(w *world) *proxy { return w.consume }, logged(sessionLost), logged(sessionLost)},
		// An attempt to store ends after a minute.
		{"store", func(w *world) *proxy { return w.store }, logged(cantStore), logged(cantStore)},
	} {
		faults = append(faults,
			fault{hop: h.name, kind: "cut", felt: h.felt,
				begin: func(w *world, _ *rand.Rand) (func() error, error) {
					h.of(w).cut()
					return h.of(w).heal, nil
				}},
			fault{hop: h.name, kind: "delayed",
				begin: func(w *world, r *rand.Rand) (func() error, error) {
					return h.of(w).heal, h.of(w).both("latency", map[string]any{"latency": 50 + r.IntN(300), "jitter": 50})
				}},
			fault{hop: h.name, kind: "throttled to a trickle",
				begin: func(w *world, r *rand.Rand) (func() error, error) { // KB/s
					return h.of(w).heal, h.of(w).both("bandwidth", map[string]any{"rate": 1 + r.IntN(8)})
				}},
			fault{hop: h.name, kind: "cut to pieces",
				begin: func(w *world, r *rand.Rand) (func() error, error) {
					return h.of(w).heal, h.of(w).both("slicer", map[string]any{"average_size": 8 + r.IntN(64), "size_variation": 7, "delay": 10})
				}},
			fault{hop: h.name, kind: "half-open", felt: h.quiet,
				begin: func(w *world, _ *rand.Rand) (func() error, error) {
					return h.of(w).heal, h.of(w).both("timeout", map[string]any{"timeout": 0})
				}},
			fault{hop: h.name, kind: "answers vanish", felt: h.quiet,
				begin: func(w *world, _ *rand.Rand) (func() error, error) {
					return h.of(w).heal, h.of(w).add("timeout", fromServer, map[string]any{"timeout": 0})
				}},
			fault{hop: h.name, kind: "reset", felt: h.felt,
				begin: func(w *world, r *rand.Rand) (func() error, error) {
					return h.of(w).heal, h.of(w).add("reset_peer", fromServer, map[string]any{"timeout": r.IntN(100)})
				}},
			fault{hop: h.name, kind: "ends within a frame to the server", felt: h.felt,
				begin: func(w *world, r *rand.Rand) (func() error, error) {
					return h.of(w).heal, h.of(w).add("limit_data", toServer, map[string]any{"bytes": 1 + r.IntN(5000)})
				}},
			fault{hop: h.name, kind: "ends within a frame from the server", felt: h.felt,
				begin: func(w *world, r *rand.Rand) (func() error, error) {
					return h.of(w).heal, h.of(w).add("limit_data", fromServer, map[string]any{"bytes": 1 + r.IntN(5000)})
				}},
		)
	}
	return faults
}
