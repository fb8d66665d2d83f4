package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trailpost/trailpost/services/internal/durable"
)

// Class is what an error asks for.
type Class uint8

const (
	// Transient errors pass by themselves: retry for ever, quietly. The database is away, full, stopping, read-only,
	// without a standby that it is to wait for, or chose this transaction to break a deadlock.
	Transient Class = iota
	// Trouble needs a person, and retrying until one has come: a missing table, a refused password, a bug.
	Trouble
	// Data is the input's fault: no retry will ever store it.
	Data
)

// String returns the name that metrics and logs show.
func (c Class) String() string {
	switch c {
	case Transient:
		return "transient"
	case Data:
		return "data"
	}
	return "trouble"
}

// errVanished is an event that was there when it was not inserted and gone when it was compared, or a session that was
// gone when it was to be kept.
var errVanished = errors.New("an event or its session was deleted meanwhile")

// SQLState returns PostgreSQL's five-character code of an error, "" when the error is none of PostgreSQL's.
func SQLState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// Classify says what to do about an error of this package. What it does not know is Trouble: to be wrong there costs
// a retry, to be wrong with Data costs the trail an event.
func Classify(err error) Class {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyState(pg)
	}
	switch {
	case refused(err), is[*pgconn.ParseConfigError](err), // a setting, or a file that it names
		is[*tls.CertificateVerificationError](err), is[tls.RecordHeaderError](err),
		is[x509.UnknownAuthorityError](err), is[x509.HostnameError](err), is[x509.CertificateInvalidError](err):
		return Trouble // though they wrap, or come wrapped in, errors that look transient: no retry renews a certificate
	case errors.Is(err, errVanished), errors.Is(err, durable.ErrUnconfirmed),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		is[net.Error](err), is[syscall.Errno](err), is[*pgconn.ConnectError](err), pgconn.SafeToRetry(err):
		return Transient
	}
	return Trouble
}

// Contended reports whether an error is of the kind that passes by itself at once: a deadlock, a serialization failure or
// a lock that is held.
func Contended(err error) bool {
	state := SQLState(err)
	return strings.HasPrefix(state, "40") || state == "55P03"
}

// classifyState goes by SQLSTATE (PostgreSQL documentation, appendix A): by the whole code where it matters, else by
// its class, the first two characters.
func classifyState(pg *pgconn.PgError) Class {
	switch pg.Code {
	case "25006", // read_only_sql_transaction: a standby, or a server that protects a full disk
		"55P03": // lock_not_available
		return Transient
	case "22P03", // invalid_binary_representation
		"22P04": // bad_copy_file_format
		return Trouble // the form of a row is this package's doing, or the table's, never an event's
	case "23502": // not_null_violation
		return Data
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
		return Data
	}
	return Trouble
}

// classifyCheck parts the three errors that share 23514. Only a check of the table's own has a name; the other two are
// about partitions, and tell themselves apart by the table that they name.
func classifyCheck(pg *pgconn.PgError) Class {
	switch {
	case pg.ConstraintName != "":
		return Data
	case pg.TableName != "" && pg.TableName != "log_events":
		// "new row for relation log_events_default violates partition constraint": the row was on its way there
		// when ensure_partitions made its month's partition. The next attempt finds that.
		return Transient
	}
	return Trouble // "no partition of relation found for row": the default partition is gone
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
