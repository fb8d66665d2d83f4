// Package schema brings a database to the schema that this binary knows, and makes the roles that
// use it.
//
// Roles is the administrator's part, once a cluster and after each change of a password. Up is the
// owner's part, at every release, by as many processes at once as happen to start: they wait for
// each other, without limit, and the first does the work. Both can be repeated at will.
//
// # Why there is nothing to heal
//
// golang-migrate reads the files, orders them and walks up or down; its stock driver for
// PostgreSQL, though, records a step in three commits: "version 3, dirty", then the file, then
// "version 3, clean". A process that is killed between the first and the last leaves the flag, and
// every later run stops until a person has looked at the database, decided how far the file came,
// and forced a version.
//
// The driver here has PostgreSQL make that decision: the file and its row in schema_migrations are
// one transaction. Whoever dies, client, server or network, and when, the database is at the
// version before or at the version after, and its row says which. No dirty flag is ever written, so
// the next Up simply goes on. (It still respects one that another tool has left: see DirtyError.)
// The price is that a migration can't hold a statement that refuses to run inside a transaction,
// such as CREATE INDEX CONCURRENTLY.
//
// The lock is PostgreSQL's advisory lock of the session, so it ends with the session. It has the
// number that golang-migrate's own tool takes, and the table has its shape, so that either tool
// waits for the other. Any role can take it: one that could not migrate is not waited for. Each
// step makes sure, by a lock on the table, that the version is the one that it was decided on.
package schema
