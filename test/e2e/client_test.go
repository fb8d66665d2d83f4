//go:build e2e

package e2e

import (
	"testing"

	"github.com/trailpost/trailpost/test/ledger"
)

// newClient posts events to a producer until the test ends.
func newClient(t *testing.T, url string) *ledger.Client {
	t.Helper()
	c := ledger.NewClient(url)
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}
