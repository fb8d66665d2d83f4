package config

import (
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	deadSuffix      = ".dead"
	maxShortString  = 255 // bytes of an AMQP 0-9-1 short string
	maxQueueName    = maxShortString - len(deadSuffix)
	amqpsPort       = 5671
	maxPostgresName = 63 // NAMEDATALEN - 1; PostgreSQL cuts longer ones silently
)

// validate checks what the tags of one field can't say: rules for the inside of a value, and rules
// between fields. It also sets the defaults that depend on other fields.
func (l *loader) validate(cfg *Config) {
	l.checkIdentityKey(cfg.Service.IdentityKey)
	l.checkRabbitMQ(&cfg.RabbitMQ)
	l.checkDatabase(cfg)
	l.checkPair("PRODUCER_TLS_CERT_FILE", "PRODUCER_TLS_KEY_FILE")
	l.checkTracing(&cfg.Tracing)
	l.checkOrigins(cfg.Producer.CORSOrigins)
	if p := cfg.Producer; p.MetricsPort != 0 && p.MetricsPort == p.Port {
		l.blame("PRODUCER_METRICS_PORT", "must be another port than PRODUCER_PORT, or none")
	}
}

func (l *loader) checkRabbitMQ(r *RabbitMQ) {
	const queueName, events = "RABBITMQ_QUEUE_NAME", "RABBITMQ_EVENTS_PER_MESSAGE"
	switch {
	case l.blamed(queueName):
	case !utf8.ValidString(r.QueueName) || len(r.QueueName) > maxQueueName:
		l.blame(queueName, "must be UTF-8 of 1 to 250 bytes")
	case strings.HasPrefix(r.QueueName, "amq."):
		l.blame(queueName, "must not begin with amq., which the broker keeps to itself")
	}
	for name, value := range map[string]string{"RABBITMQ_VHOST": r.VHost, "RABBITMQ_USER": r.User} {
		if len(value) > maxShortString {
			l.blame(name, "must be of 1 to 255 bytes")
		}
	}

	if r.QueueType == "classic" && !l.blamed(events) {
		if l.isSet(events) && r.EventsPerMessage != 1 {
			l.blame(events, "must be 1 with RABBITMQ_QUEUE_TYPE=classic, whose other users can't read groups")
		}
		r.EventsPerMessage = 1
	}

	if r.TLS && !l.isSet("RABBITMQ_PORT") {
		r.Port = amqpsPort
	}
	l.checkPair("RABBITMQ_CERTFILE", "RABBITMQ_KEYFILE")
	l.checkManagement(r)
	if !r.TLS && !r.ManagementTLS() && !l.blamed("RABBITMQ_TLS") {
		// Settings of TLS without TLS would send the password in the clear.
		for _, name := range []string{"RABBITMQ_CACERTFILE", "RABBITMQ_CERTFILE", "RABBITMQ_KEYFILE", "RABBITMQ_SERVER_NAME"} {
			if l.isSet(name) && !l.blamed(name) {
				l.blame(name, "has no effect without RABBITMQ_TLS=true")
			}
		}
	}
}

func (l *loader) checkDatabase(cfg *Config) {
	l.checkPair("DATABASE_SSLCERT", "DATABASE_SSLKEY")
	hosts := strings.Split(cfg.Database.Host, ",")
	if slices.ContainsFunc(hosts, func(host string) bool { return strings.TrimSpace(host) == "" }) && !l.blamed("DATABASE_HOST") {
		l.blame("DATABASE_HOST", "must be a host, or several with commas between")
	}
	if ports := len(cfg.Database.Port.List()); ports > 1 && ports != len(hosts) && !l.blamed("DATABASE_PORT") {
		l.blame("DATABASE_PORT", "must be one port, or as many as DATABASE_HOST has hosts")
	}
	l.checkPassword("DATABASE_PASSWORD", cfg.Database.Password)
	l.checkPassword("MIGRATE_DATABASE_PASSWORD", cfg.Migrate.Password)
	l.checkPassword("READER_DATABASE_PASSWORD", cfg.Migrate.ReaderPassword)
	l.checkPassword("ADMIN_DATABASE_PASSWORD", cfg.Migrate.AdminPassword)
	for name, value := range map[string]string{
		"DATABASE_NAME":         cfg.Database.Name,
		"DATABASE_USER":         cfg.Database.User,
		"MIGRATE_DATABASE_USER": cfg.Migrate.User,
		"READER_DATABASE_USER":  cfg.Migrate.ReaderUser,
		"ADMIN_DATABASE_USER":   cfg.Migrate.AdminUser,
		"ADMIN_DATABASE_NAME":   cfg.Migrate.AdminName,
	} {
		if len(value) > maxPostgresName {
			l.blame(name, "must be of 1 to 63 bytes")
		}
	}
}

// checkPair wants both of a certificate and its key, or neither.
func (l *loader) checkPair(cert, key string) {
	switch {
	case l.isSet(cert) && !l.isSet(key):
		l.blame(key, "is required with "+cert)
	case l.isSet(key) && !l.isSet(cert):
		l.blame(cert, "is required with "+key)
	}
}

func (l *loader) isSet(name string) bool {
	_, ok := l.env[name]
	return ok
}
