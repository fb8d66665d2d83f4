package durable

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// limitAttempts is how often withoutLimits tries: a millisecond may be too short for anything now
// and then, hardly ever so often in a row.
const limitAttempts = 20

// withoutLimits takes the time limits of statements and transactions off a session, and does
// statements. What takes them off is under them itself, so it comes before anything else, and looks
// at no table: reading catalogs for the first time takes milliseconds. It is one message with the
// statements, since a limit that is reached as its own message ends is told after the answer to
// that. Startup parameters would be under no limit, and PgBouncer refuses connections that have
// them.
func withoutLimits(ctx context.Context, conn *pgconn.PgConn, statements string) (results []*pgconn.Result, err error) {
	ends := "SET statement_timeout = 0;"
	if major(conn.ParameterStatus("server_version")) >= 17 {
		ends += "SET transaction_timeout = 0;"
	}
	for range limitAttempts {
		results, err = conn.Exec(ctx, ends+statements).ReadAll()
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "57014" { // query_canceled: the limit's doing
			return results, err
		}
	}
	return results, err
}

// major is the first number of a version, "17.2 (Debian 17.2-1)" or "18beta1", say; 0 when there is
// none.
func major(version string) int {
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(version)
	}
	n, err := strconv.Atoi(version[:end])
	if err != nil {
		return 0
	}
	return n
}
