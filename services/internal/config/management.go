package config

import (
	"net/netip"
	"net/url"
	"strings"
)

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
