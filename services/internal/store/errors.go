package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/tlsfiles"
)

// Class is what has to be done about an error.
type Class uint8

const (
	// Transient errors pass by themselves: retry for ever, quietly. The database is away, full,
	// stopping, read-only, without a standby that it has to wait for, or chose this transaction to
	// break a deadlock.
	Transient Class = iota
	// Trouble needs a person, and retries until one has come: a missing table, a refused password,
	// a bug.
	Trouble
	// Rejected is an error of the input: no retry will ever store it.
	Rejected
)

// String returns the name that metrics and pages use.
func (c Class) String() string {
	switch c {
	case Transient:
		return "transient"
	case Rejected:
		return "rejected"
	}
	return "trouble"
}

// errVanished is an event that was there when it was not inserted and gone when it was compared, or
// a session that was gone when its row was to be locked.
var errVanished = errors.New("an event or its session was deleted meanwhile")

// SQLState returns PostgreSQL's five-character code of an error, "" for an error that is not from
// PostgreSQL.
func SQLState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// Classify says what to do about an error of this package. An unknown error is Trouble: a mistake
// there costs a retry, a mistake with Rejected costs the trail an event.
func Classify(err error) Class {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyState(pg)
	}
	switch {
	case is[*pgconn.ParseConfigError](err), // a setting, or a file that it names
		tlsfiles.CauseOf(err) != tlsfiles.Unknown:
		return Trouble // though they wrap, or come wrapped in, errors that look transient: no retry renews a certificate
	case errors.Is(err, errVanished), errors.Is(err, durable.ErrUnconfirmed),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		is[net.Error](err), is[syscall.Errno](err), is[*pgconn.ConnectError](err), pgconn.SafeToRetry(err):
		return Transient
	}
	return Trouble
}

// Contended reports whether an error is of the kind that passes by itself at once: a deadlock, a
// serialization failure or a lock that is held.
func Contended(err error) bool {
	state := SQLState(err)
	return strings.HasPrefix(state, "40") || state == "55P03"
}

// classifyState goes by SQLSTATE (PostgreSQL documentation, appendix A): by the whole code where it
// matters, else by its class, the first two characters.
func classifyState(pg *pgconn.PgError) Class {
	switch pg.Code {
	case "25006", // read_only_sql_transaction: a standby, or a server that protects a full disk
		"55P03": // lock_not_available
		return Transient
	case "22P03", // invalid_binary_representation
		"22P04": // bad_copy_file_format
		return Trouble // this package or the table decides the form of a row, never an event
	case "23502": // not_null_violation
		return Rejected
	case "23514": // check_violation
		return classifyCheck(pg)
	}
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08", // connection exception
		"40", // transaction rollback: serialization, deadlock
		"53", // insufficient resources
		"57", // operator intervention: shutdown, cancelled, starting up
		"58": // system error: input and output
		return Transient
	case "22", // data exception
		"54": // program limit exceeded
		return Rejected
	}
	return Trouble
}

// classifyCheck distinguishes the three errors that share 23514. Only a check of the table itself
// has a name; the other two are about partitions, and differ in the table that they name.
func classifyCheck(pg *pgconn.PgError) Class {
	switch {
	case pg.ConstraintName != "":
		return Rejected
	case pg.TableName != "" && pg.TableName != "log_events":
		// "new row for relation log_events_default violates partition constraint": the row was on
		// its way there when ensure_partitions made its month's partition. The next attempt finds
		// that.
		return Transient
	}
	return Trouble // "no partition of relation found for row": the default partition is gone
}

// Explain adds to an error of connecting which setting, or whose certificate, has to be fixed,
// where the error is about TLS or a read-only server. The settings have the names of their
// environment variables, which is how people know them.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	switch cause := tlsfiles.CauseOf(err); {
	case cause == tlsfiles.UntrustedAuthority:
		return fmt.Errorf("%w: no authority in DATABASE_SSLROOTCERT (without it, of the system's) has signed the server's certificate", err)
	case cause == tlsfiles.WrongName:
		return fmt.Errorf("%w: DATABASE_SSLMODE=verify-full wants DATABASE_HOST to be a name in the server's certificate", err)
	case cause == tlsfiles.InvalidCertificate:
		return fmt.Errorf("%w: the server's certificate, or one in DATABASE_SSLROOTCERT, must be renewed", err)
	case requiresTLS(err) && (cause == tlsfiles.NotTLS ||
		strings.Contains(err.Error(), "server refused TLS connection")): // pgx has no type for it
		return fmt.Errorf("%w: the server does not speak TLS, and DATABASE_SSLMODE insists on it", err)
	case cause == tlsfiles.Refused && (requiresTLS(err) || SQLState(err) == "" || SQLState(err) == "28000"): // 28000: without TLS the server wants nobody
		return fmt.Errorf("%w: does the server want another client certificate than DATABASE_SSLCERT?", err)
	case SQLState(err) == "25006": // read_only_sql_transaction
		return fmt.Errorf("%w: DATABASE_HOST must lead to the primary, or name all servers, with commas between", err)
	case SQLState(err) == "28000": // invalid_authorization_specification: no line of pg_hba.conf fits, above all
		return fmt.Errorf("%w: does the server's pg_hba.conf ask for TLS (DATABASE_SSLMODE) or for a client certificate (DATABASE_SSLCERT, DATABASE_SSLKEY)?", err)
	}
	return err
}

// requiresTLS reports whether every attempt to connect had to use TLS. Where not (prefer, allow),
// an error of TLS is not the cause: another attempt was made without TLS.
func requiresTLS(err error) bool {
	failed, ok := errors.AsType[*pgconn.ConnectError](err)
	if !ok {
		return true
	}
	return failed.Config.TLSConfig != nil && !slices.ContainsFunc(failed.Config.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil })
}

// is reports whether an error of type E is in err.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
