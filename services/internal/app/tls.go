package app

import (
	"crypto/tls"
	"fmt"

	"github.com/trailpost/trailpost/services/internal/tlsfiles"
)

// clientTLS is how a client trusts a server and says who it is: by files, and the settings that name
// them. Without a file it trusts the system's authorities, or has no certificate.
type clientTLS struct {
	authorities, authoritiesSetting string
	certificate, key, pairSetting   string
	serverName                      string
}

// loader returns what reads the files. Its error names the setting; the first call tells whether the
// files can be used at all.
func (c clientTLS) loader() func() (*tls.Config, error) {
	var pair *tlsfiles.Pair
	if c.certificate != "" {
		pair = tlsfiles.NewPair(c.certificate, c.key)
	}
	return func() (*tls.Config, error) {
		settings := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.serverName}
		if c.authorities != "" {
			pool, err := tlsfiles.Authorities(c.authorities)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.authoritiesSetting, err)
			}
			settings.RootCAs = pool
		}
		if pair != nil {
			if _, err := pair.Get(); err != nil {
				return nil, fmt.Errorf("%s: %w", c.pairSetting, err)
			}
			settings.GetClientCertificate = pair.Client
		}
		return settings, nil
	}
}
