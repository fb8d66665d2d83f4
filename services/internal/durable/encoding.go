package durable

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/pgident"
)

// ErrEncoding is a database that can't hold every event.
var ErrEncoding = errors.New("the database is not UTF-8")

// RequireUTF8 refuses a database of another encoding, with the command that makes the right one:
// LATIN1 has no room for most of Unicode, and in SQL_ASCII nothing is text, and jsonb takes no
// escapes.
func RequireUTF8(conn *pgx.Conn) error {
	encoding := conn.PgConn().ParameterStatus("server_encoding")
	if encoding == "UTF8" {
		return nil
	}
	name := conn.Config().Database
	return fmt.Errorf("%w: the encoding of %s is %s, and events are UTF-8. An encoding can't be changed; another database has it: "+
		"%s, as a superuser; then set DATABASE_NAME to it, and run `migrate roles`", ErrEncoding, name, encoding, CreateDatabase(name+"_utf8"))
}

// CreateDatabase is the statement that makes a database of the right encoding on any server: C is
// the one locale that goes with each.
func CreateDatabase(name string) string {
	return "CREATE DATABASE " + pgident.Quote(name) + " TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
}
