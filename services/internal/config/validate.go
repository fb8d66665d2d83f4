package config

// validate checks what the tags of one field can't say: rules for the inside of a value, and rules
// between fields. It also sets the defaults that depend on other fields.
func (l *loader) validate(cfg *Config) {
	l.checkIdentityKey(cfg.Service.IdentityKey)
	l.checkRabbitMQ(&cfg.RabbitMQ)
	l.checkDatabase(cfg)
	l.checkProducer(&cfg.Producer)
	l.checkTracing(&cfg.Tracing)
}

func (l *loader) checkProducer(p *Producer) {
	const origins = "PRODUCER_CORS_ORIGINS"
	l.checkPair("PRODUCER_TLS_CERT_FILE", "PRODUCER_TLS_KEY_FILE")
	if l.isSet(origins) && !l.blamed(origins) {
		if problem := p.CORSOrigins.Problem(); problem != "" {
			l.blame(origins, "must be "+problem)
		}
	}
	if p.MetricsPort != 0 && p.MetricsPort == p.Port {
		l.blame("PRODUCER_METRICS_PORT", "must be another port than PRODUCER_PORT, or none")
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
