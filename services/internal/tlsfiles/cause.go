package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// Cause is why a handshake failed, as far as this side can tell.
type Cause int

const (
	// Unknown is anything else, an error that is not about TLS included.
	Unknown Cause = iota
	// UntrustedAuthority says that no authority that is trusted here has signed the other side's certificate.
	UntrustedAuthority
	// WrongName says that the certificate is another host's.
	WrongName
	// InvalidCertificate says that a certificate of the other side's chain has expired, or may not be used so.
	InvalidCertificate
	// UnverifiedCertificate says that the certificate was not accepted for a reason without a type of its own.
	UnverifiedCertificate
	// NotTLS says that what answers does not speak TLS.
	NotTLS
	// Refused says that the other side ended the handshake by an alert: it may want another certificate of ours.
	Refused
)

// CauseOf returns the cause that is in err.
func CauseOf(err error) Cause {
	switch {
	case is[x509.UnknownAuthorityError](err):
		return UntrustedAuthority
	case is[x509.HostnameError](err):
		return WrongName
	case is[x509.CertificateInvalidError](err):
		return InvalidCertificate
	case is[*tls.CertificateVerificationError](err):
		return UnverifiedCertificate
	case is[tls.RecordHeaderError](err):
		return NotTLS
	case alerted(err):
		return Refused
	}
	return Unknown
}

// alerted reports whether an error is what the other side said in a TLS alert. crypto/tls keeps the
// alert's own type to itself.
func alerted(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
