// Package partitions looks after the months of the trail: makes them ahead of time, and takes old
// ones out, by way of a file. It is the owner's work, done by `migrate partitions`; the consumer's
// role may do none of it but ensure_partitions.
//
// A month goes through three states. Attached, it is a part of log_events. Detached, it is a table
// of its own under the same name, with every row, that nobody writes to. Dropped, its events are in
// an export, and a row of retired_months says what that must hash to. Retire takes a month all the
// way; Detach, Export and Drop are its steps. Each can be repeated, and each goes on where a crash
// has left the one before:
//
//   - Detaching is one transaction.
//   - An export is written under a temporary name, synced, read back from the disk and compared
//     with the table row by row, and gets its name after that. It counts once its manifest has its
//     own name.
//   - Dropping is one transaction, which keeps the table from changing, compares the export with
//     it, drops it and writes its row of retired_months. (Retire exports in that transaction, too,
//     and compares once.)
//
// # What inserts notice
//
// Detaching needs log_events for itself for some milliseconds, and while it waits for its turn,
// everybody else waits behind it. So it waits at most 200 ms for all of its locks, gives up, lets
// the others pass, and tries again, for as long as Options.Patience. (DETACH … CONCURRENTLY would
// not be in the way, but PostgreSQL refuses it beside a default partition.) Whatever is done to a
// detached month locks nothing of the trail.
//
// # Why young months are refused
//
// The primary key is what makes a retry of a stored event a duplicate. Where the row is gone, a
// retry is a new event. Clients may retry for as long as EVENT_ID_MAX_AGE, so no month is detached
// or dropped before its youngest event is older than that, and a day: Options.MinAge, LeastAge.
package partitions
