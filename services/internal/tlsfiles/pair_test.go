package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/trailpost/trailpost/test/authority"
)

func TestPairIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	signer := authority.New(t, "test")
	// write makes a new pair and returns its serial number.
	write := func() string {
		t.Helper()
		pair := signer.Server(t, "localhost")
		for name, text := range map[string][]byte{certFile: pair.Certificate, keyFile: pair.Key} {
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		parsed, err := tls.X509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		return serialOf(t, &parsed)
	}
	c := NewPair(certFile, keyFile)
	if _, err := c.Get(); err == nil {
		t.Error("a pair is there before its files")
	}
	first := write()
	serial := func() string {
		t.Helper()
		pair, err := c.Server(nil)
		if err != nil {
			t.Fatal(err)
		}
		if client, err := c.Client(nil); err != nil || client != pair {
			t.Errorf("a client gets another pair, %v", err)
		}
		return serialOf(t, pair)
	}
	if got := serial(); got != first {
		t.Errorf("serial %s, want %s", got, first)
	}
	if err := os.WriteFile(certFile, []byte("half written"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != first {
		t.Errorf("serial %s while the files can't be used, want %s", got, first)
	}
	second := write()
	if got := serial(); got != second || got == first {
		t.Errorf("serial %s after the renewal, want %s", got, second)
	}
}

func serialOf(t *testing.T, pair *tls.Certificate) string {
	t.Helper()
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.SerialNumber.String()
}
