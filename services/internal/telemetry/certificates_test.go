package telemetry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestCertificateEnds(t *testing.T) {
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	write := func(name string, ends ...int64) string {
		t.Helper()
		var text []byte
		for _, end := range ends {
			text = append(text, selfSigned(t, time.Unix(end, 0))...)
		}
		if err := os.WriteFile(path(name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path(name)
	}
	c := NewCertificateCollector(
		Certificate{Name: "server", File: write("server", 2_000_000_000, 1_900_000_000)},
		Certificate{Name: "broker_ca", File: write("ca", 1_700_000_000, 2_100_000_000, 1_800_000_000), Authority: true},
		Certificate{Name: "broker_client", File: path("away")},
		Certificate{Name: "database_ca", File: write("empty"), Authority: true},
		Certificate{Name: "database_client", File: ""},
	)
	check := func(server int64) {
		t.Helper()
		want := fmt.Sprintf(`
# HELP trailpost_certificate_not_after_timestamp_seconds Unix time until which a certificate file is valid, in seconds, by certificate: server, broker_ca, broker_client, database_ca or database_client. Of a chain it is its first end, of a list of authorities the last.
# TYPE trailpost_certificate_not_after_timestamp_seconds gauge
trailpost_certificate_not_after_timestamp_seconds{certificate="broker_ca"} 2.1e+09
trailpost_certificate_not_after_timestamp_seconds{certificate="server"} %v
`, float64(server))
		if err := testutil.CollectAndCompare(c, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}
	check(1_900_000_000)
	write("server", 2_200_000_000) // renewed
	check(2_200_000_000)
}

func selfSigned(t *testing.T, end time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
