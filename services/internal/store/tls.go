package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Explain adds to an error of connecting which setting, or whose certificate, is to be mended, where it is about TLS or a server that only reads.
// The settings are named as the environment has them, which is how people know them.
func Explain(err error) error {
	switch {
	case err == nil:
		return nil
	case is[x509.UnknownAuthorityError](err):
		return fmt.Errorf("%w: no authority in DATABASE_SSLROOTCERT (without it, of the system's) has signed the server's certificate", err)
	case is[x509.HostnameError](err):
		return fmt.Errorf("%w: DATABASE_SSLMODE=verify-full wants DATABASE_HOST to be a name in the server's certificate", err)
	case is[x509.CertificateInvalidError](err):
		return fmt.Errorf("%w: the server's certificate, or one in DATABASE_SSLROOTCERT, must be renewed", err)
	case insists(err) && (is[tls.RecordHeaderError](err) ||
		strings.Contains(err.Error(), "server refused TLS connection")): // pgx has no type for it
		return fmt.Errorf("%w: the server does not speak TLS, and DATABASE_SSLMODE insists on it", err)
	case refused(err) && (insists(err) || SQLState(err) == "" || SQLState(err) == "28000"): // 28000: without TLS the server wants nobody
		return fmt.Errorf("%w: does the server want another client certificate than DATABASE_SSLCERT?", err)
	case SQLState(err) == "25006": // read_only_sql_transaction
		return fmt.Errorf("%w: DATABASE_HOST must lead to the primary, or name all servers, with commas between", err)
	case SQLState(err) == "28000": // invalid_authorization_specification: no line of pg_hba.conf fits, above all
		return fmt.Errorf("%w: does the server's pg_hba.conf ask for TLS (DATABASE_SSLMODE) or for a client certificate (DATABASE_SSLCERT, DATABASE_SSLKEY)?", err)
	}
	return err
}

// refused reports whether an error is what the other side said in a TLS alert.
func refused(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "remote error"
}

// insists reports whether each attempt of an error of connecting was to use TLS. Where not (prefer, allow), what one with TLS met is no
// cause: there was another, without.
func insists(err error) bool {
	failed, ok := errors.AsType[*pgconn.ConnectError](err)
	if !ok {
		return true
	}
	return failed.Config.TLSConfig != nil && !slices.ContainsFunc(failed.Config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil })
}
