// Package migrations holds the database's schema as pairs of SQL files, embedded.
//
// NNNNNN_name.up.sql makes a step and NNNNNN_name.down.sql takes it back without a trace. Package schema runs each
// file in one transaction that also records it, so no file may hold BEGIN, COMMIT, or a statement that PostgreSQL
// refuses inside a transaction block. Roles belong to the cluster, not to a database, so no file makes one: the grants
// of 000005 go to the group roles that `migrate roles` makes.
package migrations

import "embed"

// FS has the .sql files at its root.
//
//go:embed *.sql
var FS embed.FS
