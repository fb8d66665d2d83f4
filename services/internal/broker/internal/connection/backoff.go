package connection

import (
	"time"

	"github.com/trailpost/trailpost/services/internal/retry"
)

// Backoff returns the waits between attempts to connect.
func Backoff() retry.Backoff {
	return retry.Backoff{First: 100 * time.Millisecond, Most: 5 * time.Second}
}
