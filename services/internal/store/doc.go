// Package store keeps events in PostgreSQL.
//
// [Writer.Store] is for the consumer: a batch of events in one transaction, each stored once
// however often it comes. [Check] is for its start, [EnsurePartitions], [Analyze] and [NoteHorizon]
// for its housekeeping, [ReadDatabaseStats] and [DefaultRows] for its metrics, [HasEvent] for its
// self-test, [Classify] for what to do when any of them fails.
//
// # How a batch is stored
//
// A Store makes a writePlan of its events. The fast path assumes that every event is new, and that
// its session is known, as nearly always: read the batch's sessions, COPY the events in the order
// of their ids, commit. That is as fast as PostgreSQL takes rows, but COPY knows no ON CONFLICT:
// one repeated id, and all of it fails. So where repeats are likely, because the broker says that
// it delivers again, or because a COPY has just failed over one, the ids that are there already are
// looked up first and only the rest is copied (1,000 repeats among other events cost a SELECT then,
// and no dead rows). Should another writer still insert one of them between the lookup and the
// COPY, INSERT … ON CONFLICT DO NOTHING decides.
//
// An event with an EventKey is known by that, whatever its id is: see keys.go.
//
// An event whose id is there already is compared with what is there, in PostgreSQL, whose jsonb
// says when two payloads are equal: the same event is a Duplicate, another is Reused. An event that
// is not stored changes nothing else either (only with INSERT its session may have been created). A
// batch without a new event still makes its commit wait as one that writes does: that a row can be
// seen says nothing about how durable it is (see package durable).
//
// How an event is a row is in package columns.
//
// # Sessions
//
// A session that an event names is created with it, and so is its owner: the event's username or,
// without one, the user "unknown". An owner changes only from "unknown". review_started moves a
// session's start to the earliest, review_completed and review_cancelled its end to the latest, so
// that the order of arrival does not matter. Rows that would not change are not written.
//
// # Why writers do not deadlock
//
// All lock in one order: event keys by value, users by name, sessions by id, events by id.
//
// # Connections
//
// A Writer prepares its statements and applies its settings once for each connection. It is meant
// for a connection to PostgreSQL itself, or through a pooler in session mode: in transaction mode
// the settings would go to another client. It takes no server that is read-only, and after an error
// that is not about the batch itself it makes a new connection.
package store
