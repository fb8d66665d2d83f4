package tlsfiles

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

// Authorities reads the certificates that may sign a server's. A file without any is an error.
func Authorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, none(file)
	}
	return pool, nil
}

// ChainEnd returns when the first certificate of a chain expires: from then on it is refused.
func ChainEnd(file string) (time.Time, error) { return end(file, time.Time.Before) }

// AuthoritiesEnd returns when the last of a list of authorities expires: from then on none is left.
func AuthoritiesEnd(file string) (time.Time, error) { return end(file, time.Time.After) }

// end returns the NotAfter of a file's certificates that replaces all others.
func end(file string, replaces func(at, other time.Time) bool) (end time.Time, err error) {
	rest, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return end, err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return time.Time{}, fmt.Errorf("%s: %w", file, err)
		}
		if at := certificate.NotAfter; end.IsZero() || replaces(at, end) {
			end = at
		}
	}
	if end.IsZero() {
		return end, none(file)
	}
	return end, nil
}

func none(file string) error { return fmt.Errorf("%s holds no certificate", file) }
