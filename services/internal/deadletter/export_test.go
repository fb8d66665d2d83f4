package deadletter

import (
	"context"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// WithTimeout lets a test wait for less than a minute.
func (o ReplayOptions) WithTimeout(d time.Duration) ReplayOptions {
	o.confirmTimeout = d
	return o
}

// Confirm confirms that deliveries, which were acked, are gone.
func Confirm(ctx context.Context, cfg broker.Config, deliveries []broker.Delivery, timeout time.Duration) error {
	acked := map[fingerprint]int{}
	for i := range deliveries {
		acked[fingerprintOf(&deliveries[i])]++
	}
	return confirm(ctx, cfg, acked, timeout)
}
