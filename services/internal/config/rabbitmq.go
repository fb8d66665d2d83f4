package config

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"
)

const (
	deadSuffix     = ".dead"
	maxShortString = 255 // bytes of an AMQP 0-9-1 short string
	maxQueueName   = maxShortString - len(deadSuffix)
	amqpsPort      = 5671
)

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

// ManagementTLS reports whether the management API is asked over TLS.
func (r RabbitMQ) ManagementTLS() bool {
	return strings.HasPrefix(strings.ToLower(r.ManagementURL), "https:")
}

func (l *loader) checkManagement(r *RabbitMQ) {
	const name = "RABBITMQ_MANAGEMENT_URL"
	if r.ManagementURL == "" || l.blamed(name) {
		return
	}
	if problem := managementProblem(r); problem != "" {
		l.blameSecret(name, problem) // it may hold a password
	}
}

func managementProblem(r *RabbitMQ) string {
	const want = "must be an http or https URL such as http://rabbitmq:15672"
	u, err := url.Parse(r.ManagementURL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return want
	case u.User != nil:
		return want + ", without a user: RABBITMQ_USER and RABBITMQ_PASSWORD are used"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return want + ", without a query or a fragment"
	case r.TLS && u.Scheme == "http" && !isLoopback(u.Hostname()):
		return "must be https with RABBITMQ_TLS=true, or the password would be sent in the clear"
	}
	return ""
}

// isLoopback reports whether what is sent to a host stays on this machine.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}
