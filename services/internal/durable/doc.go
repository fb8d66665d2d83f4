// Package durable is the one place where this project opens connections to PostgreSQL that write,
// and commits on them. What it calls done is as durable as the database is set to make it
// (synchronous_commit, synchronous_standby_names).
//
// PostgreSQL itself does not promise that of every answer to COMMIT:
//
//   - A COMMIT that waits for a synchronous standby and is cancelled (pg_cancel_backend, a client's
//     time limit) has committed on that one server, and it succeeds, with a warning: "canceling
//     wait for synchronous replication". Tx and Sync make an error of it, ErrUnconfirmed.
//   - A transaction that wrote nothing waits for nobody. One that finds its rows there already,
//     since a COMMIT before was cancelled, cut off or restarted, must not say "done" on that
//     ground: those rows may be on this server alone, and gone after a failover. SyncOnCommit makes
//     such a transaction wait as one that wrote does, and Sync is that alone: when it returns, all
//     that the session has seen is as durable.
//
// The latter works because a standby has all that was written before what it confirms, and because
// a connection never lasts longer than its server's history: a server that is demoted ends its
// connections.
package durable
