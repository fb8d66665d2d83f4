// Package event is one line of the audit trail: its fields, the rules for letting it in, and the
// form in which it travels.
//
// A [Parser] reads what clients send, strictly and once, and lets no unfinished event out: whatever
// it accepts, PostgreSQL's jsonb accepts and gives back equal (FuzzParse holds it to that against a
// real column). [AppendWire] writes the queue's JSON and [ParseWire] reads it, also as the Python
// service that Trailpost replaces wrote it.
//
// An event is a function of what the client sent and of its id, so that a retry with the same id is
// the same event: a missing timestamp is the id's own time, a missing payload is {}.
package event
