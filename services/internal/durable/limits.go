package durable

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// limitAttempts is how often endLimits tries: a millisecond may be too short for anything now and then, hardly ever so often in a row.
const limitAttempts = 20

// endLimits takes the time limits of statements and transactions off a session. What does so is under them itself, so it comes before
// anything else, and looks at no table: reading catalogs for the first time takes milliseconds. Startup parameters would be under no limit, and
// PgBouncer refuses connections that have them.
func endLimits(ctx context.Context, conn *pgconn.PgConn) (err error) {
	statements := "SET statement_timeout = 0"
	if major(conn.ParameterStatus("server_version")) >= 17 {
		statements += "; SET transaction_timeout = 0"
	}
	for range limitAttempts {
		_, err = conn.Exec(ctx, statements).ReadAll()
		if pg, ok := errors.AsType[*pgconn.PgError](err); !ok || pg.Code != "57014" { // query_canceled: the limit's doing
			return err
		}
	}
	return err
}

// major is the first number of a version, "17.2 (Debian 17.2-1)" or "18beta1", say; 0 when there is none.
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
