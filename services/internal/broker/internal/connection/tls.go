package connection

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/netconn"
	"github.com/trailpost/trailpost/services/internal/tlsfiles"
)

// secure shakes hands over a new connection. Its errors say which setting, or whose certificate,
// must be fixed.
func secure(ctx context.Context, cfg broker.Config, conn net.Conn) (net.Conn, error) {
	settings, err := cfg.TLS()
	if err != nil {
		return nil, err
	}
	settings = settings.Clone()
	if settings.ServerName == "" {
		settings.ServerName = cfg.Host
	}
	client := tls.Client(conn, settings)
	if err := client.HandshakeContext(ctx); err != nil {
		return nil, explainHandshake(err, cfg)
	}
	return client, nil
}

func explainHandshake(err error, cfg broker.Config) error {
	switch tlsfiles.CauseOf(err) {
	case tlsfiles.UntrustedAuthority:
		return fmt.Errorf("%w: no authority in RABBITMQ_CACERTFILE (without it, of the system's) has signed the broker's certificate", err)
	case tlsfiles.WrongName:
		return fmt.Errorf("%w: set RABBITMQ_HOST, or RABBITMQ_SERVER_NAME, to a name in the broker's certificate", err)
	case tlsfiles.InvalidCertificate:
		return fmt.Errorf("%w: the broker's certificate, or one in RABBITMQ_CACERTFILE, must be renewed", err)
	case tlsfiles.NotTLS:
		return fmt.Errorf("%w: RABBITMQ_TLS is true and what answers at %s does not speak TLS; is RABBITMQ_PORT right?", err, cfg.Address())
	case tlsfiles.Refused:
		return fmt.Errorf("%w: the broker did not take our part of the handshake; does it want another client certificate than RABBITMQ_CERTFILE?", err)
	case tlsfiles.Unknown, tlsfiles.UnverifiedCertificate:
	}
	return err
}

// tlsAlert is the first byte of a TLS record that says what is wrong (RFC 8446, 5.1). AMQP frames
// have no such type.
const tlsAlert = 21

// explainLogin names the setting that a failed login is about, where it is about TLS.
func explainLogin(probe *netconn.Probe, cfg broker.Config, err error) error {
	first, answered := probe.First()
	switch ended := probe.Err(); {
	case cfg.TLS == nil && answered && first == tlsAlert:
		return fmt.Errorf("%w: the broker speaks TLS at %s: set RABBITMQ_TLS=true, or another RABBITMQ_PORT", err, cfg.Address())
	case cfg.TLS == nil && ended != nil && !answered:
		return fmt.Errorf("%w: the broker ended the connection without a word; if it speaks TLS at %s, set RABBITMQ_TLS=true", err, cfg.Address())
	case cfg.TLS != nil && ended != nil && (tlsfiles.CauseOf(ended) == tlsfiles.Refused || !answered):
		// TLS 1.3 refuses a client's certificate after the handshake.
		return fmt.Errorf("%w: %w: the broker takes no client without a certificate that it trusts: RABBITMQ_CERTFILE, RABBITMQ_KEYFILE", err, ended)
	}
	return err
}
