package app

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/store"
	"github.com/trailpost/trailpost/services/internal/telemetry"
)

// DepthInterval is how often the broker is asked for the queue's depth.
const DepthInterval = 5 * time.Second

// Broker is the broker's part of the configuration. name is what the broker's
// tools call the connections.
func Broker(cfg *config.Config, name string, log *slog.Logger) (broker.Config, error) {
	r := cfg.RabbitMQ
	b := broker.Config{
		Host: r.Host, Port: int(r.Port), User: r.User, Password: r.Password.Reveal(), VHost: r.VHost,
		Queue: r.QueueName, QueueType: broker.QueueType(r.QueueType), EventsPerMessage: r.EventsPerMessage,
		ConfirmTimeout: r.ConfirmTimeout,
		Unwatched:      r.ManagementURL == "", AllowLossy: r.AllowLossy,
		Name: connectionName(name), Logger: log,
	}
	if r.TLS {
		b.TLS = func() (*tls.Config, error) { return brokerTLS(r) }
		if _, err := b.TLS(); err != nil { // files that can't be used even now stop the start
			return b, err
		}
	}
	return b, nil
}

// brokerTLS reads the files, which are renewed while a process runs.
func brokerTLS(r config.RabbitMQ) (*tls.Config, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.ServerName}
	if r.CACertFile != "" {
		pool, err := authorities(r.CACertFile)
		if err != nil {
			return nil, fmt.Errorf("RABBITMQ_CACERTFILE: %w", err)
		}
		settings.RootCAs = pool
	}
	if r.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(r.CertFile, r.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("RABBITMQ_CERTFILE, RABBITMQ_KEYFILE: %w", err)
		}
		// Not Certificates, of which crypto/tls sends none where the broker names other authorities:
		// the broker's refusal says more than its silence.
		settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return settings, nil
}

// certificateLoader is what crypto/tls asks for a client's certificate.
type certificateLoader = func(*tls.CertificateRequestInfo) (*tls.Certificate, error)

// clientCertificate is read for every connection: certificates are renewed while
// a process runs. The error says that it can't be used even now.
func clientCertificate(certFile, keyFile string) (certificateLoader, error) {
	load := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		return &pair, err
	}
	_, err := load(nil)
	return load, err
}

// BrokerCertificates are the files whose end is watched.
func BrokerCertificates(cfg *config.Config) []telemetry.Certificate {
	if !cfg.RabbitMQ.TLS {
		return nil
	}
	return []telemetry.Certificate{
		{Name: "broker_ca", File: cfg.RabbitMQ.CACertFile, Authority: true},
		{Name: "broker_client", File: cfg.RabbitMQ.CertFile},
	}
}

// authorities reads the certificates that may sign a server's.
func authorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, nil
}

// connectionName tells replicas apart: a pod's host name is the pod's.
func connectionName(service string) string {
	host, err := os.Hostname()
	if err != nil {
		return service
	}
	return service + "@" + host
}

// Database is the database's part of the configuration, for the consumer's
// role.
func Database(cfg *config.Config) store.Config {
	d := cfg.Database
	return store.Config{
		Host: d.Host, Ports: d.Port.List(), Database: d.Name, User: d.User, Password: d.Password.Reveal(),
		SSLMode: d.SSLMode, SSLRootCert: d.SSLRootCert, SSLCert: d.SSLCert, SSLKey: d.SSLKey,
		ConnectTimeout: d.ConnectTimeout, ApplicationName: "trailpost-consumer",
	}
}
