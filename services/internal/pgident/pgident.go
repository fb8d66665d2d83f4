// Package pgident writes the names of PostgreSQL's objects into statements: DDL takes no
// parameters, so names are quoted.
package pgident

import "github.com/jackc/pgx/v5"

// Quote is a name as an identifier.
func Quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// Public is the name of a table in the schema public, with its schema: a search_path can't lead
// elsewhere.
func Public(table string) string { return pgx.Identifier{"public", table}.Sanitize() }
