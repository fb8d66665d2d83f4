package app

import (
	"crypto/tls"
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
		b.TLS = brokerTLS(r, r.ServerName)
		if _, err := b.TLS(); err != nil { // files that can't be used even now stop the start
			return b, err
		}
	}
	return b, nil
}

// brokerTLS reads the files anew for each connection: they are renewed while a process runs.
func brokerTLS(r config.RabbitMQ, serverName string) func() (*tls.Config, error) {
	return clientTLS{
		authorities: r.CACertFile, authoritiesSetting: "RABBITMQ_CACERTFILE",
		certificate: r.CertFile, key: r.KeyFile, pairSetting: "RABBITMQ_CERTFILE, RABBITMQ_KEYFILE",
		serverName: serverName,
	}.loader()
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
