//go:build e2e

package e2e

import (
	"net/http"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trailpost/trailpost/test/ledger"
)

// newClient posts events to the producer of this namespace until the test ends.
func (n *namespace) newClient(t *testing.T, url string) *ledger.Client {
	t.Helper()
	c := ledger.NewClient(url)
	c.Header = n.credentials(t)
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}

// credentials are the headers by which a client says who it is: the API key that the
// chart has made; none if it made none.
func (n *namespace) credentials(t *testing.T) http.Header {
	t.Helper()
	secret, err := n.CoreV1().Secrets(n.name).Get(t.Context(), "trailpost-producer-keys", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return http.Header{"Authorization": {"Bearer " + string(secret.Data["client-key"])}}
}
